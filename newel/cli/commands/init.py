"""`newel init`: lay a new project down."""

from __future__ import annotations

import argparse
import shlex
from datetime import date
from pathlib import Path

from newel.cli.terminal import count, print_json
from newel.errors import NewelError


def init(args: argparse.Namespace) -> None:
    """Lay a new project down in a folder, and say what to do next."""
    from newel.project.new import engine, layout

    target = _folder(args.directory)
    schema = layout.schema_name(target.name)
    layout.check_folder(target)
    source = engine.origin()
    if isinstance(source, Path) and source.is_dir() and not args.json:
        print(f"Building newel's wheel from {source} ...", flush=True)
    files = layout.lay_down(target, source, date.today())
    next_ones = _next(target, args.directory)
    if args.json:
        print_json({"directory": str(target), "schema": schema, "files": files, "next": next_ones})
        return
    print(f"Laid down {count(len(files), 'file')} in {args.directory}; the service's schema is {schema}.\n")
    print("Next:")
    for command in next_ones:
        print(f"  {command}")


def _folder(typed: str) -> Path:
    if not typed:
        raise NewelError(
            "the folder of the new project is missing", cure="For make:  make db-init DIR=../my-service"
        )
    try:
        return Path(typed).expanduser().resolve()
    except RuntimeError as error:  # ~nobody, or links in a circle
        raise NewelError(f"`{typed}` names no folder: {error}") from error


def _next(target: Path, typed: str) -> list[str]:
    go = [] if target == Path.cwd() else [f"cd {shlex.quote(typed)}"]
    in_repository = any((folder / ".git").exists() for folder in (target, *target.parents))
    return [*go, *([] if in_repository else ["git init"]), "make db-migrate-up", "make test"]
