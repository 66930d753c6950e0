"""A proxy between newel and the server that sees every message, and can hold the stream at one of them.

It speaks as much of PostgreSQL's protocol 3.0 as it needs to tell messages apart (manual, "Frontend/Backend
Protocol", "Message Formats"). It listens on a port of 127.0.0.1, because only a TCP connection can be reset. That
port is open to every user of the machine, so the proxy asks for a password of its own.
"""

from __future__ import annotations

import secrets
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PASSWORD_ASKED = b"R" + struct.pack("!ii", 8, 3)
IDLE = b"Z" + struct.pack("!i", 5) + b"I"
"""The server waits for a message, and no transaction is open."""
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Message:
    """One message of the client or of the server: its type's letter, and all of its bytes."""

    kind: str
    data: bytes

    @property
    def text(self) -> str:
        """The SQL of a Query message."""
        return self.data[5:-1].decode() if self.kind == "Q" else ""


class Closed(Exception):
    """The other side has closed its connection."""


def receive(connection: socket.socket, *, startup: bool = False) -> Message:
    """Read one whole message; a client's first one has no letter. Raises Closed."""
    kind = b"" if startup else _exactly(connection, 1)
    length = _exactly(connection, 4)
    body = _exactly(connection, struct.unpack("!i", length)[0] - 4)
    return Message(kind.decode(), kind + length + body)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            part = connection.recv(size - len(data))
        except OSError as error:
            raise Closed from error
        if not part:
            raise Closed
        data += part
    return data


@dataclass
class Link:
    """One client's connection, through to the server.

    `messages` are those of the client so far; the last of them may be held. `unsent` are answers that the client has
    not got yet.
    """

    client: socket.socket
    server: socket.socket
    backend: int = 0
    messages: list[Message] = field(default_factory=list)
    held: Message | None = None
    unsent: bytes = b""

    def forward(self) -> None:
        """Send the held message on to the server."""
        if self.held is not None:
            self.server.sendall(self.held.data)
            self.held = None

    def forward_half(self) -> None:
        """Send one half of the held message on; the other half never comes."""
        if self.held is not None:
            self.server.sendall(self.held.data[: len(self.held.data) // 2])
            self.held = None

    def take_answer(self) -> None:
        """Take the server's answer to the message, to its end, and keep it from the client."""
        if self.messages[-1].kind in "Qcf":  # the others have no answer of their own
            self.unsent += _answer(self.server)

    def reset_client(self) -> None:
        """Break the client's side off as a router does that has lost it: with a reset, and nothing more is sent."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.client.close()

    def close_server(self) -> None:
        """End the server's side in the ordinary way."""
        self.server.close()

    def close(self) -> None:
        """End both sides."""
        self.client.close()
        self.server.close()


AtMessage = Callable[[Link, int], None]
"""Called with each message of the client that is held, and its number from 0. Nothing moves until it returns."""


class Listener:
    """Listens until it is closed, and serves each connection that knows the password in a thread of its own."""

    def __init__(self, server: Path) -> None:
        self.server = server
        self.password = secrets.token_hex(16)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def url(self, database: str) -> str:
        """The database as a URL, reached through this proxy."""
        return (
            f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"
            "?sslmode=disable&gssencmode=disable"
        )

    def close(self) -> None:
        """Stop listening, and end every connection."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for client in self.clients:
            with suppress(OSError):  # most are closed already
                client.shutdown(socket.SHUT_RDWR)

    def serve(self, client: socket.socket, greeting: bytes) -> None:
        """Stand between a client, whose startup message is given, and the server, until either goes."""
        raise NotImplementedError

    def connect(self) -> socket.socket:
        """Open a connection to the server."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.server))
        return connection

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._let_in, args=(client,), daemon=True).start()

    def _let_in(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with (
            client,
            suppress(Closed, OSError, ValueError),
        ):  # a closed socket cannot be waited for (ValueError)
            greeting = receive(client, startup=True)
            client.sendall(PASSWORD_ASKED)
            if secrets.compare_digest(receive(client).data[5:-1], self.password.encode()):
                self.serve(client, greeting.data)


class Proxy(Listener):
    """Shows each message of a client before it passes on. `links` are all connections so far."""

    def __init__(self, server: Path, at_message: AtMessage | None = None) -> None:
        self.at_message = at_message
        self.links: list[Link] = []
        super().__init__(server)

    def serve(self, client: socket.socket, greeting: bytes) -> None:
        with self.connect() as server:
            link = Link(client, server)
            self.links.append(link)
            server.sendall(greeting)
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    self._from_server(link)
                if client in readable:
                    self._from_client(link)

    def _from_server(self, link: Link) -> None:
        message = receive(link.server)
        if message.kind == "K":
            link.backend = struct.unpack("!i", message.data[5:9])[0]
        link.client.sendall(message.data)

    def _from_client(self, link: Link) -> None:
        link.held = receive(link.client)
        link.messages.append(link.held)
        if self.at_message:
            self.at_message(link, len(link.messages) - 1)
        link.forward()
        if link.unsent:
            link.client.sendall(link.unsent)
            link.unsent = b""


class PoolingProxy(Listener):
    """Gives each transaction to the other of two server connections, as PgBouncer's transaction mode may."""

    def serve(self, client: socket.socket, greeting: bytes) -> None:
        with self.connect() as one, self.connect() as other:
            for server in (other, one):
                server.sendall(greeting)
                answer = _answer(server)
            client.sendall(answer)
            while True:
                message = receive(client)
                if answer.endswith(IDLE):
                    one, other = other, one
                one.sendall(message.data)
                if message.kind in "Qcf":
                    answer = _answer(one)
                    client.sendall(answer)


def _answer(server: socket.socket) -> bytes:
    """Take one whole answer: up to where the server waits for the next message."""
    answer = b""
    while True:
        message = receive(server)
        answer += message.data
        if message.kind in "ZG":
            return answer
