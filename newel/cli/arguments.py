"""The commands with their arguments, and the function that carries each out. Imports none of these functions."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, Protocol

from newel import __version__
from newel.errors import NewelError

PROJECT, FOLDER, NOTHING = "project", "folder", "nothing"
"""What a command is handed besides its arguments: the project read for an environment, its folder, or nothing."""


class Parser(argparse.ArgumentParser):
    """argparse, which raises NewelError for wrong usage: exit code 1, as 2 is `file not found` here, and --json."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"argument COMMAND: invalid choice: '(.*)' \(choose from (.*)\)", message)
        if unknown:  # argparse lists all there are, in one line
            near = get_close_matches(unknown[1], re.findall(r"\w+", unknown[2]), 1)
            hint = f"did you mean {near[0]}?" if near else "newel --help lists them."
            message = f"there is no command `{unknown[1]}`; {hint}"
        raise NewelError(message, cure=self.format_usage().strip())


class _Add(Protocol):
    """Adds a command: its name, what it does in words, the module and function of newel.cli, what it is handed."""

    def __call__(self, name: str, words: str, handler: str, handed: str = PROJECT) -> Parser: ...


def parser() -> Parser:
    """Build the parser of every command. Its namespace has `handler` and `handed` besides the arguments."""
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON for a machine to read")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    in_folder = Parser(add_help=False, parents=[common])
    in_folder.add_argument(
        "--config", metavar="FILE", default="alembic.ini", help="alembic.ini of the project"
    )
    in_project = Parser(add_help=False, parents=[in_folder])
    in_project.add_argument("--env", metavar="NAME", help="the environment; otherwise MIGRATION_ENV names it")
    parents = {NOTHING: common, FOLDER: in_folder, PROJECT: in_project}
    top = Parser(
        prog="newel",
        usage="newel COMMAND ...",
        description="Raw-SQL migrations for PostgreSQL on Alembic.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"newel {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    listed: list[str] = []

    def add(name: str, words: str, handler: str, handed: str = PROJECT) -> Parser:
        listed.append(f"  {name:<10}  {words}")
        description = f"{words[0].upper()}{words[1:]}."
        command: Parser = commands.add_parser(
            name, prog=f"newel {name}", description=description, parents=[parents[handed]]
        )
        command.set_defaults(handler=handler, handed=handed)
        return command

    for title, group in _GROUPS:
        listed.append(f"\n{title}:")
        group(add)
    top.epilog = "\n".join([*listed, "", "newel COMMAND --help tells more of one."]).lstrip("\n")
    return top


def negative_targets(arguments: Sequence[str]) -> list[str]:
    """Let `newel down -2` through: argparse would take -2 for an option."""
    known = list(arguments)
    if "--" in known:
        return known
    for index, word in enumerate(known):
        if (
            word.startswith("-")
            and word[1:].isdigit()
            and known[index - 1 : index] not in (["-n"], ["--limit"])
        ):
            return [*known[:index], *known[index + 1 :], "--", word]
    return known


def _running(add: _Add) -> None:
    up = add("up", "apply all pending revisions, or those up to TARGET", "run:up")
    up.add_argument(
        "target", nargs="?", default="head", metavar="TARGET", help="a revision, head, +N or BRANCH@head"
    )
    up.add_argument(
        "--sql", action="store_true", help="print a script for psql; FROM:TO starts it elsewhere than base"
    )
    down = add("down", "roll back the revision applied last, or down to TARGET", "run:down")
    down.add_argument(
        "target", nargs="?", default="-1", metavar="TARGET", help="a revision, base, -N or BRANCH@base"
    )
    down.add_argument("--sql", action="store_true", help="print a script for psql; TARGET is FROM:TO")
    goto = add("goto", "go up or down to a revision", "run:goto")
    goto.add_argument("target", metavar="REVISION", help="a revision, head or base")
    for command in (up, down, goto):
        command.add_argument(
            "--approve",
            action="append",
            default=[],
            metavar="REVISION[@SHA256]",
            help="approve a revision that this run runs, where the environment asks for approval; several by commas",
        )
    for command in (down, goto):
        command.add_argument(
            "--count",
            action="store_true",
            help="count the rows that a rollback loses, instead of estimating them",
        )
    add("status", "show applied, pending and failed revisions", "look:status")
    log = add("log", "show executions: revision, direction, when, how long, result", "look:log")
    log.add_argument("--long", action="store_true", help="show all that is known of each execution")
    log.add_argument("-n", "--limit", type=_count, default=None, metavar="N", help="the newest N only")
    repair = add(
        "repair",
        "show changed files of applied revisions, or record reviewed ones",
        "repair:repair",
    )
    repair.add_argument(
        "revisions", nargs="*", metavar="REVISION", help="record its files as reviewed; nothing is run"
    )
    drift = add(
        "drift",
        "show what was changed by hand in the schema",
        "compare:drift",
    )
    drift.epilog = (
        "Runs the applied revisions on a throwaway server. Compares no rows. Ends with 1 if anything differs."
    )


def _writing(add: _Add) -> None:
    init = add("init", "lay down a new project in DIR", "init:init", NOTHING)
    init.add_argument("directory", metavar="DIR", help="a folder that does not exist yet, or is empty")
    generate = add("generate", "write the files of a new revision", "generate:generate", FOLDER)
    generate.add_argument(
        "name",
        metavar="NAME",
        help="what it does, as an identifier: add_user_profiles, add_nickname_to_users",
    )
    generate.add_argument(
        "--type",
        default="table",
        metavar="TYPE",
        help="the template: table (the default), column, index, data, schema, audit, soft_delete, polymorphic, "
        "blank, or one of sql/templates",
    )
    generate.add_argument("--branch", metavar="NAME", help="a revision of this environment alone")
    renumber = add(
        "renumber", "give a revision that lost a number race a free number", "generate:renumber", FOLDER
    )
    renumber.add_argument("--env", metavar="NAME", help="the environment whose database is asked")
    renumber.add_argument(
        "revision", metavar="REVISION", help="its number, or NNNNNN_name or a path where two have the number"
    )
    renumber.add_argument(
        "number", nargs="?", metavar="NUMBER", help="the new number; the next free one unless given"
    )
    stubs = add("stubs", "write the Alembic scripts that the SQL files give", "manage:stubs", FOLDER)
    stubs.add_argument("--check", action="store_true", help="write nothing, end with 1 if any differs")
    add(
        "validate",
        "check names, scripts, environments, seeds and SQL; no database",
        "manage:validate",
        FOLDER,
    )
    add(
        "history",
        "show every revision, what it stands on and where it runs",
        "look:history",
    )
    show = add("show", "show what a revision does, from its SQL and the graph", "show:show")
    show.add_argument("revision", metavar="REVISION")
    show.add_argument("--write", action="store_true", help="write it into docs/migrations/NNNNNN.md")
    diagram = add("diagram", "print a Mermaid diagram of the tables or the revisions", "diagram:diagram")
    diagram.add_argument("subject", nargs="?", default="schema", choices=["schema", "revisions"])


def _looking(add: _Add) -> None:
    tables = add(
        "tables",
        "show tables: columns, types, defaults, constraints, foreign keys",
        "inspect:tables",
    )
    tables.add_argument("tables", nargs="*", metavar="TABLE", help="these alone")
    add("schema", "show relations and indexes, with their sizes", "inspect:schema")
    add("counts", "show the rows and the size of each table", "counts:counts")
    add("info", "show the server's version, connections, and the database's size", "server:info")
    add("health", "say whether the database is reached, and how fast", "server:health")
    add("connect", "open psql on the database", "connect:connect")


def _data(add: _Add) -> None:
    seed = add("seed", "run the seed files: base, then the environment's own", "seed:seed")
    seed.epilog = "Each file runs in one transaction. Seeds are safe to run again."
    _asks(add("clean", "empty the service's tables, keep the schema", "seed:clean"))


def _keeping(add: _Add) -> None:
    add("create", "create the database, if it is not there", "lifecycle:create")
    _asks(add("drop", "drop the database", "lifecycle:drop"))
    add("setup", "create the database, apply all revisions, run the seeds", "lifecycle:setup")
    _asks(add("fresh", "drop the database, create it and apply all revisions", "lifecycle:fresh"))
    _asks(add("reset", "fresh, and seeds; for development", "lifecycle:reset"))
    add("backup", "dump the database into BACKUP_DIR", "keep:backup")
    restore = add("restore", "put a backup in the database's place", "keep:restore")
    restore.add_argument(
        "file", metavar="FILE", help="a backup that newel made, or a dump in pg_dump's custom format"
    )
    _asks(restore)
    env = add("env", "label the database as belonging to an environment", "manage:env_set", FOLDER)
    env.add_argument("action", choices=["set"])
    env.add_argument("name", metavar="NAME")
    server = add("server", "start, stop or look at the embedded server", "manage:server", FOLDER)
    server.add_argument("action", choices=["start", "stop", "status"])


_GROUPS = (
    ("Run revisions", _running),
    ("Write revisions", _writing),
    ("Look at the database", _looking),
    ("Fill and empty it", _data),
    ("Keep databases", _keeping),
)


def _asks(command: Parser) -> None:
    command.add_argument("--yes", action="store_true", help="do not ask")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
