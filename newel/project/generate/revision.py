"""The files of a new revision, made from a template and from what the revision's name says. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from newel.errors import NewelError
from newel.project.environments import PATH, Environments, load_environments
from newel.project.files import MIGRATIONS, sql_file
from newel.project.generate.meaning import TAKING, Meaning
from newel.project.generate.templates import Template, fill, load_template
from newel.project.graph import Revision, following, load_revisions
from newel.project.sql.names import is_identifier, nearest_identifier, quoted
from newel.project.stubs import script_text
from newel.project.tables.read import can_see, objects_of, read_definitions

_MAKING = ("new_table", "new_schema", "new_column", "index")


@dataclass(frozen=True)
class Generated:
    """A revision that is not written yet: its three files by path, and what is worth saying about it."""

    revision: Revision
    files: dict[str, bytes]
    note: str | None = None


def generate(root: Path, name: str, type_name: str, branch: str | None, today: date) -> Generated:
    """Make the pair and the script of a new revision with the next free number.

    `branch` is the environment that alone runs it; None is the mainline. Raises NewelError for a name that is no
    identifier, an unknown type or branch, a table or column that the name does not name or that is there already, and
    a template that gives no sound SQL; whatever is wrong with the project is raised as well.
    """
    _check_name(name, type_name)
    template = load_template(root, type_name)
    _check_verb(name, template)
    environments = load_environments(root)
    revisions = load_revisions(root)
    if branch is not None:
        _check_branch(environments, revisions, branch)
    revision = following(revisions, name, branch)
    if branch is not None:
        _check_listed(environments, revision, branch)
    schema = environments.default_schema(branch)
    definitions = read_definitions(root, revisions)
    visible = [item for item in definitions if can_see(revision, item[0])]
    seen = objects_of(visible, schema)
    taken = seen if len(visible) == len(definitions) else objects_of(definitions, schema)
    meaning = Meaning(revision.id, name, type_name, seen, taken, makes_table=template.uses("new_table"))
    values = {**meaning.values, "date": lambda _: today.isoformat()}
    contents = {}
    for path, text, template_path in (
        (revision.up, template.up, template.up_path),
        (revision.down, template.down, template.down_path),
    ):
        contents[path] = fill(text, template_path, values).encode()
        sql_file(template_path, contents[path])  # a fault is the template's, and its lines are the same
    makes_here = any(template.uses(item) for item in ("new_table", "schema"))
    note = None
    if makes_here and schema != "public" and schema not in seen.schemas:
        note = _missing_schema(meaning, branch)
    return Generated(revision, {**contents, revision.script: script_text(revision).encode()}, note)


def _missing_schema(meaning: Meaning, branch: str | None) -> str:
    """Say how to make the schema of the new table; the table moves behind it by getting the next number."""
    schema = meaning.seen.default
    name, kind, written = f"add_{schema}_schema", "schema", ""
    try:
        fits = is_identifier(name) and replace(meaning, name=name).new_schema == schema
    except NewelError:
        fits = False
    if not fits:
        name, kind = "add_schema", "blank"
        made = f"SCHEMA {quoted(schema)};"
        written = f", and write CREATE {made} into its up file, DROP {made} into its down file"
    of_branch = f" --branch {branch}" if branch else ""
    return (
        f"no up file makes schema {quoted(schema)}, which search_path in {PATH} names first; unless it is there "
        f"already, make it, and move this revision behind it:  newel generate {name} --type {kind}{of_branch} && "
        f"newel renumber {meaning.number}{written}"
    )


def _check_name(name: str, type_name: str) -> None:
    if is_identifier(name):
        return
    near = nearest_identifier(name)
    raise NewelError(
        f"`{name}` is no name for a revision: lower-case letters, digits and _, a letter first, at most 63",
        cure=f"Nearest is:  newel generate {near} --type {type_name}"
        if near
        else "For example:  newel generate add_user_profiles --type table",
    )


def _check_verb(name: str, template: Template) -> None:
    """Refuse `drop_phone_from_users` where the template would make a column drop_phone."""
    verb = name.partition("_")[0]
    if verb in TAKING and any(template.uses(item) for item in _MAKING):
        raise NewelError(
            f"`{name}` begins with `{verb}`, and type {template.type} makes something new",
            cure=f"To write both files yourself, below their headers:  newel generate {name} --type blank\n"
            f"If that is what the new thing is called:  newel generate add_{name} --type {template.type}",
        )


def _check_branch(environments: Environments, revisions: Sequence[Revision], branch: str) -> None:
    if branch not in {revision.branch for revision in revisions}:
        environments.get(branch)


def _check_listed(environments: Environments, revision: Revision, branch: str) -> None:
    """Refuse a branch whose new revision nobody would run: environments that list single files."""
    if not any(environment.lists(revision) for environment in environments.by_name.values()):
        path = revision.up.removeprefix(f"{MIGRATIONS}/")
        name = branch if branch in environments.by_name else next(iter(environments.by_name))
        raise environments.error(
            NewelError,
            f"no environment lists {path}, so nobody would run it",
            name,
            cure=f'Let `migrations` of `{name}` list the folder by a glob:  "{branch}/*.up.sql"',
        )
