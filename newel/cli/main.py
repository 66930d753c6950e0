"""The command line: finds the function of a command, catches errors in one place, gives the exit code.

0 done, 1 general and usage, 2 file not found, 3 connection, 4 permission, 5 dependency.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from newel.cli.arguments import NOTHING, PROJECT, negative_targets, parser
from newel.errors import FileMissing, NewelError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if sys.stdout is None:  # `>&-`
        sys.stdout = io.TextIOWrapper(io.FileIO(os.devnull, "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that it cannot write must not end a run half-way
        sys.stdout.reconfigure(errors="backslashreplace")
    given = negative_targets(sys.argv[1:] if arguments is None else arguments)
    try:
        args = parser().parse_args(given)
        code = _dispatch(args)
        sys.stdout.flush()  # here, where it can still be said that it fails
    except NewelError as error:
        if "--debug" in given or os.environ.get("MIGRATION_DEBUG", "").lower() in ("1", "true", "yes", "on"):
            import traceback

            traceback.print_exc()
        _print_error(error, as_json="--json" in given)
        return error.exit_code
    except KeyboardInterrupt:  # outside a run, which words it itself
        print("\ninterrupted", file=sys.stderr)
        return 130
    except OSError as error:
        if error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more at its end
        if not isinstance(error, BrokenPipeError):  # whoever read along may have gone
            print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _dispatch(args: argparse.Namespace) -> int:
    """Call the command's function, whose module alone is imported; one that returns nothing ended well."""
    module, _, name = args.handler.partition(":")
    if args.handed == NOTHING:
        return _function(module, name)(args) or 0
    root = _root(args.config)
    if args.handed != PROJECT:
        return _function(module, name)(root, args) or 0
    from newel.project.project import load_project

    return _function(module, name)(load_project(root, os.environ, args.env), args) or 0


def _function(module: str, name: str) -> Callable[..., int | None]:
    function: Callable[..., int | None] = getattr(
        importlib.import_module(f"newel.cli.commands.{module}"), name
    )
    return function


def _root(config: str) -> Path:
    path = Path(config)
    if not path.is_file():
        raise FileMissing(
            f"there is no {config} here",
            cure="Run newel in the project's folder, or name the file:  newel ... --config FOLDER/alembic.ini\n"
            "A new project is made by  newel init FOLDER",
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


if __name__ == "__main__":
    raise SystemExit(main())
