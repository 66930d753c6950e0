"""env/environments.json: which revisions, seeds, search_path and policy each environment has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from newel.errors import DependencyError, FileMissing, NewelError
from newel.project import window
from newel.project.files import MIGRATIONS, unreadable
from newel.project.graph import Revision
from newel.project.source import excerpt, locate
from newel.project.window import Window

PATH = "env/environments.json"

Time = str
"""A time as PostgreSQL takes it, such as `2s`."""


@dataclass(frozen=True)
class Policy:
    """What an environment allows and demands: `environments.<name>.config`."""

    allow_destructive_operations: bool = True
    skip_validation: bool = False
    auto_rollback_on_failure: bool = False
    require_approval: bool = False
    backup_required: bool = False
    maintenance_window_required: bool = False
    """There has to be a `maintenance_window`."""
    maintenance_window: Window | None = None
    """When runs may begin; always, if there is none."""
    lock_timeout: Time = "2s"
    """How long a statement waits for a lock before it is tried again later; 0 waits for ever."""
    statement_timeout: Time | None = None
    """How long a statement may take; as the server has it, if it is not given."""


@dataclass(frozen=True)
class Locking:
    """`migration_locking`: whether runs exclude each other, and how many seconds one waits for another."""

    enabled: bool = True
    timeout_seconds: float = 300.0


@dataclass(frozen=True)
class Environment:
    """One environment as environments.json describes it."""

    name: str
    migrations: tuple[str, ...]
    """Paths or globs of up files, relative to sql/migrations."""
    seed_files: tuple[str, ...] = ()
    """Paths or globs of seed files, relative to sql/seeds."""
    search_path: tuple[str, ...] = ()
    """Schemas in order; empty leaves the server's own setting."""
    policy: Policy = field(default_factory=Policy)

    def lists(self, revision: Revision) -> bool:
        """Say whether this environment runs the revision: the mainline always, others by its list."""
        path = revision.up.removeprefix(f"{MIGRATIONS}/")
        return revision.branch is None or any(fnmatchcase(path, pattern) for pattern in self.migrations)


@dataclass(frozen=True)
class Environments:
    """The whole of environments.json, and its text for the sake of error messages."""

    by_name: Mapping[str, Environment]
    current: str | None = None
    locking: Locking = field(default_factory=Locking)
    text: bytes = field(default=b"", repr=False)

    def get(self, name: str) -> Environment:
        """Return the environment of that name.

        Raises NewelError for an unknown one, with the nearest name there is.
        """
        if name not in self.by_name:
            raise NewelError(f"there is no environment `{name}` in {PATH}{_suggestion(name, self.by_name)}")
        return self.by_name[name]

    def default_schema(self, branch: str | None) -> str:
        """Return the schema of names without one: the first of the search_path of the branch's environment.

        If that has none, or for the mainline, the first environment that has one tells; else it is public.
        """
        own = [self.by_name[branch]] if branch and branch in self.by_name else []
        paths = (item.search_path for item in [*own, *self.by_name.values()])
        return next((schema for path in paths for schema in path if schema != "$user"), "public")

    def revisions(self, name: str, revisions: Sequence[Revision]) -> tuple[Revision, ...]:
        """Return the revisions that the environment runs, in order of work.

        Raises FileMissing for a listed path that matches no file, and DependencyError if the list omits a
        revision that a listed one stands on.
        """
        environment = self.get(name)
        for pattern in environment.migrations:
            if _is_glob(pattern):
                continue
            if not any(revision.up == f"{MIGRATIONS}/{pattern}" for revision in revisions):
                raise self.error(
                    FileMissing,
                    f"environment `{name}` lists {pattern}, which is not in {MIGRATIONS}",
                    pattern,
                )
        chosen = tuple(revision for revision in revisions if environment.lists(revision))
        ids = {revision.id for revision in chosen}
        for revision in chosen:
            for needed in revision.needs:
                if needed not in ids:
                    raise self.error(
                        DependencyError,
                        f"environment `{name}` lists {revision.id}_{revision.slug} without {needed}, "
                        "which comes before it in the same folder",
                        name,
                        cure=f"Add {needed} to `migrations` of `{name}`, or list the folder by a glob.",
                    )
        return chosen

    def seeds(self, name: str, paths: Sequence[str]) -> tuple[str, ...]:
        """Return which of the seed files in `paths` the environment has, in order of work; base always comes first.

        Raises FileMissing for a listed path that is none of them.
        """
        chosen: dict[str, None] = {}
        for pattern in ("base/*", *self.get(name).seed_files):
            found = [path for path in paths if path == pattern or fnmatchcase(path, pattern)]
            if not found and not _is_glob(pattern):
                what = f"environment `{name}` lists the seed {pattern}, which is no .sql or .csv file in sql/seeds"
                inside = any(path.startswith(f"{pattern.rstrip('/')}/") for path in paths)
                cure = f"For all files in it:  {pattern.rstrip('/')}/*" if inside else None
                raise self.error(FileMissing, what, pattern, cure)
            chosen |= dict.fromkeys(found)
        return tuple(chosen)

    def error(self, kind: type[NewelError], what: str, near: str, cure: str | None = None) -> NewelError:
        """Make an error that points to a word of the file: the name of an environment, or what one lists."""
        key = re.search(re.escape(json.dumps(near).encode()) + rb"\s*:", self.text)  # an environment
        at = key.start() if key else max(self.text.find(json.dumps(near).encode()), 0)
        return kind(what, where=locate(self.text, at, PATH), excerpt=excerpt(self.text, at), cure=cure)


def load_environments(root: Path) -> Environments:
    """Read env/environments.json.

    Raises FileMissing without it, and NewelError with line and column for broken JSON, a misspelt or
    repeated key and a value of a wrong type.
    """
    try:
        text = (root / PATH).read_bytes()
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise unreadable(PATH, error) from error
        raise FileMissing(
            f"there is no {PATH} in {root}",
            cure='The smallest one is  {"environments": {"development": {}}}',
        ) from None
    return _Reader(text).environments()


class _Reader:
    """Checks each key and value of the file, and knows where in the text it stands."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        try:
            self.top = json.loads(text.decode("utf-8-sig"), object_pairs_hook=self._no_key_twice)
        except json.JSONDecodeError as error:
            at = len(error.doc[: error.pos].encode())
            raise NewelError(
                f"not valid JSON: {error.msg}", where=locate(text, at, PATH), excerpt=excerpt(text, at)
            ) from None
        except UnicodeDecodeError as error:
            raise NewelError("not valid UTF-8", where=locate(text, error.start, PATH)) from None

    def environments(self) -> Environments:
        top = self._object(self.top, ())
        self._known(top, ("environments", "current_environment", "migration_locking"), ())
        named = self._object(top.get("environments", {}), ("environments",))
        if not named:
            self._refuse("it names no environment", ())
        current = top.get("current_environment")
        if current is not None and (not isinstance(current, str) or current not in named):
            what = f"current_environment is `{current}`, which `environments` does not name"
            self._refuse(what + _suggestion(str(current), named), ("current_environment",))
        return Environments(
            {name: self._environment(name, value) for name, value in named.items()},
            current,
            self._fields(Locking, top.get("migration_locking", {}), ("migration_locking",)),
            self.text,
        )

    def _environment(self, name: str, value: Any) -> Environment:
        path = ("environments", name)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            self._refuse(
                "a name of an environment is lower-case letters, digits and _, as a folder's is", path
            )
        value = self._object(value, path)
        self._known(value, ("description", "migrations", "seed_files", "search_path", "config"), path)
        return Environment(
            name=name,
            migrations=self._strings(value.get("migrations", [f"{name}/*.up.sql"]), (*path, "migrations")),
            seed_files=self._strings(value.get("seed_files", [f"{name}/*"]), (*path, "seed_files")),
            search_path=self._search_path(value.get("search_path", []), (*path, "search_path")),
            policy=self._policy(value.get("config", {}), (*path, "config")),
        )

    def _policy(self, value: Any, path: tuple[str, ...]) -> Policy:
        policy: Policy = self._fields(Policy, value, path)
        if policy.maintenance_window_required and policy.maintenance_window is None:
            what = f'maintenance_window_required, but no `maintenance_window` such as "{window.EXAMPLE}"'
            self._refuse(what, (*path, "maintenance_window_required"))
        return policy

    def _search_path(self, value: Any, path: tuple[str, ...]) -> tuple[str, ...]:
        if isinstance(value, str):
            value = [schema.strip().strip('"') for schema in value.split(",")]
        return self._strings(value, path)

    def _fields(self, kind: Any, value: Any, path: tuple[str, ...]) -> Any:
        """Make a Policy or a Locking, whose fields are the keys; a field's type is what its value must be."""
        value = self._object(value, path)
        self._known(value, tuple(kind.__dataclass_fields__), path)
        read = {}
        for key, item in value.items():
            words, reader = _READERS[kind.__dataclass_fields__[key].type]
            try:
                read[key] = reader(item)
            except (TypeError, ValueError) as error:
                why = f" ({error})" if str(error) else ""
                self._refuse(f"`{key}` is {json.dumps(item)}; it takes {words}{why}", (*path, key))
        return kind(**read)

    def _object(self, value: Any, path: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._refuse(f"`{path[-1] if path else PATH}` must be an object in braces", path)
        return dict(value)

    def _strings(self, value: Any, path: tuple[str, ...]) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self._refuse(f"`{path[-1]}` must be a list of strings", path)
        return tuple(value)

    def _known(self, value: Mapping[str, Any], keys: Sequence[str], path: tuple[str, ...]) -> None:
        for key in value:
            if key not in keys:
                self._refuse(f"unknown key `{key}`{_suggestion(key, keys)}", (*path, key))

    def _refuse(self, what: str, path: tuple[str, ...]) -> NoReturn:
        at = 0
        for key in path:
            found = re.compile(re.escape(json.dumps(key).encode()) + rb"\s*:").search(self.text, at)
            at = found.start() if found else at
        raise NewelError(what, where=locate(self.text, at, PATH), excerpt=excerpt(self.text, at))

    def _no_key_twice(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                at = self.text.rfind(json.dumps(key).encode())
                raise NewelError(
                    f"the key `{key}` stands twice in one object; JSON would keep the last alone",
                    where=locate(self.text, at, PATH),
                    excerpt=excerpt(self.text, at),
                )
            made[key] = value
        return made


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise TypeError
    return value


def _time(value: Any) -> Time:
    """Return what PostgreSQL takes for a timeout: below 2^31 milliseconds, which is 24 days."""
    match = re.fullmatch(r"([0-9]+) ?(us|ms|s|min|h|d)?", value)
    units = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
    if match is None or int(match[1]) * units[match[2] or "ms"] >= 2**31:
        raise ValueError
    return str(value)


def _window(value: Any) -> Window:
    if not isinstance(value, str):
        raise TypeError
    return window.parse(value)


_READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bool": ("true or false", _boolean),
    "float": ("a number of seconds", _seconds),
    "Time": ('a time such as "2s"', _time),
    "Time | None": ('a time such as "2s"', _time),
    "Window | None": (f'a window such as "{window.EXAMPLE}"', _window),
}
"""By the type of a field, as it is written: what its value is in words, and what reads it."""


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _suggestion(word: str, words: Any) -> str:
    near = get_close_matches(word, list(words), 1)
    return f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(words)}."
