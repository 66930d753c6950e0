"""The command line: arguments, the one place where errors are caught, and exit codes.

0 done, 1 general and usage, 2 file not found, 3 connection, 4 permission, 5 dependency.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from newel import __version__
from newel.errors import FileMissing, NewelError

_PROJECT_COMMANDS = ("up", "down", "goto", "status", "log", "history", "drift", "repair", "env")


class _Parser(argparse.ArgumentParser):
    """argparse, with exit code 1 for usage errors: 2 is `file not found` here."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(1)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Build the parser of every command."""
    common = _Parser(add_help=False)
    common.add_argument("--config", metavar="FILE", default="alembic.ini", help="alembic.ini of the project")
    common.add_argument("--json", action="store_true", help="print JSON for a machine to read")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = _Parser(add_help=False, parents=[common])
    chosen.add_argument("--env", metavar="NAME", help="the environment; otherwise MIGRATION_ENV names it")
    top = _Parser(prog="newel", description="Raw-SQL migrations for PostgreSQL on Alembic.")
    top.add_argument("--version", action="version", version=f"newel {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, words: str, options: _Parser = chosen) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=words, description=words[0].upper() + words[1:] + ".", parents=[options]
        )

    up = add("up", "apply all pending revisions, or those up to TARGET")
    up.add_argument(
        "target", nargs="?", default="head", metavar="TARGET", help="a revision, head, +N or BRANCH@head"
    )
    up.add_argument(
        "--sql", action="store_true", help="print a script for psql; FROM:TO starts it elsewhere than base"
    )
    down = add("down", "roll back the revision applied last, or down to TARGET")
    down.add_argument(
        "target", nargs="?", default="-1", metavar="TARGET", help="a revision, base, -N or BRANCH@base"
    )
    down.add_argument("--sql", action="store_true", help="print a script for psql; TARGET is FROM:TO")
    goto = add("goto", "go up or down to a revision")
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
    add("status", "show applied, pending and failed revisions")
    log = add("log", "show executions: revision, direction, when, how long, result")
    log.add_argument("--long", action="store_true", help="show all that is known of each execution")
    log.add_argument("-n", "--limit", type=_count, default=None, metavar="N", help="the newest N only")
    add("history", "show every revision, what it stands on and where it runs; reads no database")
    repair = add("repair", "show changed files of applied revisions, or record those that were reviewed")
    repair.add_argument(
        "revisions", nargs="*", metavar="REVISION", help="record its files as reviewed; nothing is run"
    )
    drift = add("drift", "show what was changed by hand: the schema against what the applied revisions give")
    drift.epilog = (
        "Runs the applied revisions on a throwaway server. Compares no rows. Ends with 1 if anything differs."
    )
    stubs = add("stubs", "write the Alembic scripts that the SQL files give", common)
    stubs.add_argument("--check", action="store_true", help="write nothing, end with 1 if any differs")
    add(
        "validate",
        "check names, pairs, numbers, scripts, environments and SQL syntax; reads no database",
        common,
    )
    env = add("env", "label the database as belonging to an environment", common)
    env.add_argument("action", choices=["set"])
    env.add_argument("name", metavar="NAME")
    server = add("server", "start, stop or look at the embedded server", common)
    server.add_argument("action", choices=["start", "stop", "status"])
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = parser().parse_args(_negative_targets(sys.argv[1:] if arguments is None else arguments))
    try:
        return _dispatch(args)
    except NewelError as error:
        if args.debug or os.environ.get("MIGRATION_DEBUG", "").lower() in ("1", "true", "yes", "on"):
            import traceback

            traceback.print_exc()
        _print_error(error, as_json=args.json)
        return error.exit_code
    except KeyboardInterrupt:  # outside a run, which words it itself
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _dispatch(args: argparse.Namespace) -> int:
    root = _root(args.config)
    if args.command not in _PROJECT_COMMANDS:
        from newel.cli import manage

        commands = {"stubs": manage.stubs, "validate": manage.validate, "server": manage.server}
        return commands[args.command](root, args)
    from newel.project.project import load_project

    project = load_project(root, os.environ, args.name if args.command == "env" else args.env)
    if args.command in ("up", "down", "goto"):
        from newel.cli import run

        if not args.target:
            raise NewelError("a revision is missing", cure="For make:  make db-migrate-goto VERSION=000002")
        return int(getattr(run, args.command)(project, args))
    if args.command == "drift":
        from newel.cli.compare import drift

        return drift(project, args)
    if args.command == "repair":
        from newel.cli.repair import repair

        return repair(project, args)
    if args.command == "env":
        from newel.cli import manage

        manage.env_set(project, args)
        return 0
    from newel.cli import look

    return getattr(look, args.command)(project, args) or 0


def _root(config: str) -> Path:
    path = Path(config)
    if not path.is_file():
        raise FileMissing(
            f"there is no {config} here",
            cure="Run newel in the project's folder, or name the file:  newel ... --config FOLDER/alembic.ini",
        )
    return path.resolve().parent


def _print_error(error: NewelError, *, as_json: bool) -> None:
    from newel.cli.terminal import coloured, error_document, print_json
    from newel.database.connection import mask

    sys.stdout.flush()  # in a pipe, what was said before would come behind the error
    if as_json:
        print_json({"error": error_document(error)})
    else:
        print(f"{coloured('error:', 'red', sys.stderr)} {mask(str(error))}", file=sys.stderr)


def _negative_targets(arguments: Sequence[str]) -> list[str]:
    """Let `newel down -2` through: argparse would take -2 for an option."""
    known = list(arguments)
    for index, word in enumerate(known):
        if (
            word.startswith("-")
            and word[1:].isdigit()
            and known[index - 1 : index] not in (["-n"], ["--limit"])
        ):
            return [*known[:index], *known[index + 1 :], "--", word]
    return known


if __name__ == "__main__":
    raise SystemExit(main())
