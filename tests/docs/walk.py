"""Walks through a page of the documentation as a reader does: types its commands and compares what they print.

What a block of code means:

- `sh`: commands, typed into one shell for the whole page.
- `text` right behind such a block: what the commands print. A line `...` stands for any lines. Times, durations, sizes,
  checksums and versions may differ.
- a block behind a line with a path and a colon alone, such as "`sql/migrations/000005_a.up.sql`:": the reader makes the
  file say this; Python is an excerpt of a file that is there.
- a comment `<!-- not run -->` before a block: it is for the reader alone. `<!-- ends with 1 -->`: the commands end so.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n+)?(?:^`(?P<path>[^`\n]+)`:\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(
    r"(?!#)[^\n]*<<'(\w+)'[^\n]*\n.*?^\1$|^(?!#)(?:[^\n]*\\\n)*[^\n]+", re.MULTILINE | re.DOTALL
)
"""A command of a shell block: a line, with those it goes on in by a backslash, or a here document."""
_VARYING = (
    (r"\b\d+ min \d\d s\b|\b\d+(?:\.\d+)? (?:ms|s)\b", "<duration>"),
    (r"\b20\d\d-\d\d-\d\d[ T]\d\d:?\d\d:?\d\dZ?(?:\.\d+)?(?:[+-]\d\d(?::?\d\d)?)?", "<time>"),
    (r"\b20\d{6}T\d{6}Z\b", "<time>"),
    (r"\b20\d\d-\d\d-\d\d\b", "<date>"),
    (r"\b\d+(?:\.\d+)? (?:B|kB|MB|GB)\b", "<size>"),
    (r"\b[0-9a-f]{12,64}\b", "<checksum>"),
    (r"postgresql:///[^\s\"]+", "<url>"),
    (r"Connect:  \S+ ", "Connect:  psql "),
    (r"PostgreSQL 1\d(?:\.\d+)?(?: \([^)]*\))?", "PostgreSQL <version>"),
    (r"\(cost=\d+\.\d+\.\.\d+\.\d+ rows=\d+ width=\d+\)", "<cost>"),
    (r"\bpid \d+", "pid <number>"),
    (r"\.{3,}|-{3,}|={3,}", "---"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its line in the page, language, text, the file it is about, and the comment before it.

    `follows`: nothing stands between it and the block before it.
    """

    line: int
    language: str
    text: str
    path: str | None
    mark: str | None
    follows: bool


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page in order."""
    end = 0
    for match in _FENCE.finditer(page):
        line, between = page.count("\n", 0, match.start("text")), page[end : match.start()]
        end = match.end()
        yield Block(line, match["language"], match["text"], match["path"], match["mark"], not between.strip())


def walk(page: str, root: Path, environ: Mapping[str, str]) -> list[str]:
    """Do what a page says in a copy of the project; return what came out otherwise than it says.

    The walk ends at the first command that ends otherwise.
    """
    wrong: list[str] = []
    printed: tuple[str, int] | None = None
    with _Shell(root, environ) as shell:
        for block in blocks(page):
            where = f"line {block.line}"
            if block.mark == "not run":
                continue
            if block.path:
                wrong += [f"{where}: {fault}" for fault in _file(root / block.path, block)]
            elif block.language == "sh":
                wanted = int(block.mark.removeprefix("ends with ")) if block.mark else 0
                output = shell.type(block.text)
                if shell.code != wanted:
                    return [*wrong, f"{where}: ended with {shell.code}:\n{output}"]
                printed = output, block.line
            elif block.language == "text" and block.follows and printed and not alike(block.text, printed[0]):
                wrong.append(
                    f"{where}: the page says\n{block.text}\nand line {printed[1]} printed\n{printed[0]}"
                )
    return wrong


def alike(said: str, printed: str) -> bool:
    """Say whether a page's words are what was printed, but for what varies from run to run."""
    parts = re.split(r"^\.\.\.\n", said, flags=re.MULTILINE)
    pattern = r"(?:.*\n)*?".join(re.escape(_plain(part)) for part in parts)
    return re.fullmatch(pattern, _plain(printed)) is not None


def _plain(text: str) -> str:
    for pattern, word in _VARYING:
        text = re.sub(pattern, word, text)
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def _file(path: Path, block: Block) -> Iterator[str]:
    if block.language == "python":
        if not path.is_file() or block.text.strip() not in path.read_text(encoding="utf-8"):
            yield f"{block.path} does not hold this excerpt"
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


class _Shell:
    """One sh that goes on from block to block, so that cd, export and an activated .venv last."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            ["sh"],
            cwd=root,
            env={**environ, "NO_COLOR": "1", "PAGER": "cat", "PSQL_PAGER": "cat"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.code = 0

    def __enter__(self) -> _Shell:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(60)

    def type(self, commands: str) -> str:
        """Run commands up to the first that fails, and return what they printed; `code` is how the last one ended."""
        return "".join(self._output(command) for command in self._until_one_fails(commands))

    def _until_one_fails(self, commands: str) -> Iterator[str]:
        for match in _COMMAND.finditer(commands):
            yield match[0]
            if self.code:
                return

    def _output(self, command: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        # In braces, so that sh has read all of it before the command could read sh's standard input.
        self.process.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n=END %s\\n' $?\n")
        self.process.stdin.flush()
        lines: list[str] = []
        for line in self.process.stdout:
            if line.startswith("=END "):
                self.code = int(line.split()[1])
                return "".join(lines).removesuffix("\n")  # the one before the mark
            lines.append(line)
        raise AssertionError(f"the shell ended in: {command}")
