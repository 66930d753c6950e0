"""What a revision's name says: tables and columns, by their words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newel.errors import NewelError
from newel.project.generate.meaning import Meaning
from newel.project.generate.subject import find_table
from newel.project.sql.names import is_identifier, words_of
from newel.project.tables.objects import Column, Objects, Table


def table(name: str, *columns: str, schema: str = "app", key: str = "id", **more: object) -> Table:
    made = tuple(Column(*column.split(":")) for column in (f"{key}:int4", *columns))
    return Table(schema, name, "000001", made, (key,), **more)  # type: ignore[arg-type]


def objects(*tables: Table) -> Objects:
    found = Objects(default="app", schemas={"app": "000001"})
    for item in tables:
        found.tables[item.schema, item.name] = item
        found.taken[item.schema, item.name] = item.made_by
    return found


USERS = table(
    "users",
    "email:text",
    "first_name:text",
    "last_name:text",
    "name:text",
    indexed=frozenset({"id", "email"}),
)
PROFILES = table("user_profiles", "user_id:int4", "bio:text", "settings:json", "zone:text")
SEEN = objects(USERS, PROFILES, table("categories", "title:text"), table("order", schema="sales"))


def meaning(name: str, kind: str = "index", seen: Objects = SEEN, *, makes_table: bool = False) -> Meaning:
    return Meaning("000009", name, kind, seen, seen, makes_table=makes_table)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("optimize_user_search", "users"),
        ("migrate_user_profiles_data", "user_profiles"),
        ("migrate_user_profile_data", "user_profiles"),
        ("index_users_email", "users"),
        ("add_user_id_to_user_profiles", "user_profiles"),
        ("add_user_profile_id_to_users", "users"),
        ("add_index_on_users_for_search", "users"),
        ("move_category_titles", "categories"),
        ("count_orders", "order"),
        ("users", "users"),
    ],
)
def test_a_name_speaks_of_a_table(name: str, expected: str) -> None:
    found = find_table(words_of(name), SEEN)
    assert found is not None
    assert found.table.name == expected


@pytest.mark.parametrize("name", ["optimize_search", "profile_users_x"[:7], "usage", "add_x_to_userz"])
def test_a_name_that_speaks_of_no_table(name: str) -> None:
    assert find_table(words_of(name), SEEN) is None


def test_of_two_tables_the_one_written_just_so_wins_and_then_the_schema_of_the_environment() -> None:
    seen = objects(table("user"), USERS, table("users", schema="other"))
    found = {name: find_table([name], seen) for name in ("user", "users")}
    assert {name: str(item.table) for name, item in found.items() if item} == {
        "user": 'app."user"',
        "users": "app.users",
    }


def test_a_partition_is_no_table_to_work_on() -> None:
    assert find_table(["users"], objects(table("users", partition=True))) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("add_nickname_to_users", "nickname"),
        ("add_nickname_column_to_users_table", "nickname"),
        ("add_middle_name_to_the_users", "middle_name"),
        ("users_add_nickname", "nickname"),
        ("add_valid_from_to_users", "valid_from"),
        ("add_order_to_users", '"order"'),
    ],
)
def test_a_name_names_the_new_column(name: str, expected: str) -> None:
    assert meaning(name, "column").values["new_column"](None) == expected


@pytest.mark.parametrize(
    ("name", "expected", "index"),
    [
        ("index_users_email", "email", "idx_users_email"),
        ("index_users_last_name_and_first_name", "last_name, first_name", "idx_users_last_name_first_name"),
        ("index_last_name_on_users", "last_name", "idx_users_last_name"),
        ("index_users_name", "name", "idx_users_name"),
        ("optimize_user_search", "first_name", "idx_users_first_name"),
        ("index_user_profiles_settings", "user_id", "idx_user_profiles_user_id"),
        ("index_categories", "title", "idx_categories_title"),
        ("index_orders", "id", "idx_order_id"),
    ],
)
def test_an_index_is_on_the_columns_that_the_name_names_or_on_one_that_has_none(
    name: str, expected: str, index: str
) -> None:
    values = meaning(name).values
    assert (values["columns"](None), values["index"](None)) == (expected, index)
    said = values["columns_chosen"](None)
    assert said.startswith("The columns that" if "users_" in name or "_on_" in name else "Choose the columns")


def test_an_index_never_gets_a_name_that_is_taken() -> None:
    seen = objects(USERS)
    seen.taken["app", "idx_users_email"] = seen.taken["other", "idx_users_email_2"] = "000002"
    assert meaning("index_users_email", seen=seen).index("email") == "idx_users_email_2"


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("add_user_profiles", "table", "user_profiles"),
        ("create_invoices_table", "table", "invoices"),
        ("refactor_user_contacts", "table", "user_contacts"),
        ("make_the_new_invoices", "table", "invoices"),
        ("add_invoices_with_audit_columns", "audit", "invoices"),
        ("record_labels", "table", "record_labels"),
        ("add", "table", "add"),
        ("add_", "table", "add"),
        ("tables", "table", "tables"),
    ],
)
def test_a_name_names_the_new_table(name: str, kind: str, expected: str) -> None:
    assert meaning(name, kind, objects(), makes_table=True).new_table == expected


@settings(deadline=None)
@given(st.builds(str.__add__, st.sampled_from("abcz"), st.text("abcdersuz01_", max_size=62)))
def test_whatever_the_name_its_table_schema_index_and_record_are_names_too(name: str) -> None:
    made = meaning(name, "table", objects(), makes_table=True)
    assert len(made.new_table) <= 63
    assert made.new_table.strip("_0123456789")[:1].isalpha() or made.new_table[:1].isdigit()
    assert len(made.index("created_at")) <= 63
    assert made.index("created_at").endswith("_created_at")
    assert len({made.index("created_at"), made.index("updated_at")}) == 2
    works_on = meaning(f"{name}_users"[-63:].lstrip("_0123456789"), "data")
    assert is_identifier(works_on.record)
    if find_table(works_on.words, SEEN):
        for placeholder in ("column", "columns", "key", "same_key", "table"):
            assert works_on.values[placeholder]("c")


@pytest.mark.parametrize(
    ("name", "kind", "placeholder", "said"),
    [
        ("add_users", "table", "new_table", "app.users is there already: revision 000001 makes it"),
        ("add_app_schema", "schema", "new_schema", "schema app is there already: revision 000001 makes it"),
        ("add_public_schema", "schema", "new_schema", "public is a schema of PostgreSQL's own"),
        ("add_pg_x_schema", "schema", "new_schema", "pg_x is a schema of PostgreSQL's own"),
        ("add_newel_schema", "schema", "new_schema", "newel is a schema of newel's own"),
        ("add_schema", "schema", "new_schema", "it names no schema"),
        ("add_users", "column", "new_column", "`add_users` names no column to add to app.users"),
        (
            "add_ctid_to_users",
            "column",
            "new_column",
            "PostgreSQL gives every table a column ctid of its own",
        ),
        ("add_email_to_users", "column", "new_column", "app.users has a column email already"),
        (
            "optimize_search",
            "index",
            "columns",
            "`optimize_search` names none; there are app.categories, app.user_profiles",
        ),
        ("add_x_to_userz", "column", "new_column", "`add_x_to_userz` names none; did you mean app.users?"),
    ],
)
def test_a_name_that_says_too_little_or_what_is_there_is_refused(
    name: str, kind: str, placeholder: str, said: str
) -> None:
    with pytest.raises(NewelError) as refused:
        meaning(name, kind).values[placeholder](None)
    assert said in refused.value.what


def test_neither_a_column_that_is_not_stored_nor_a_type_without_order_is_indexed() -> None:
    columns = (
        Column("v", "int4", generated=True, virtual=True),
        Column("x", "xid"),
        Column("j", "json[]"),
        Column("b"),
    )
    seen = objects(Table("app", "users", "000001", columns))
    assert meaning("index_users_v_x_j", seen=seen).columns == (["b"], False)


def test_the_columns_of_a_record_are_called_otherwise_than_those_of_the_key() -> None:
    seen = objects(table("users", key="old_value"))
    values = meaning("fill_users", "data", seen).values
    assert (values["old_value"](None), values["new_value"](None)) == ("old_value_2", "new_value")


def test_a_name_is_refused_where_no_table_is_made_yet() -> None:
    with pytest.raises(NewelError, match="no up file makes one yet"):
        meaning("index_users", seen=objects()).values["table"](None)


def test_a_partitioned_table_gets_no_index_concurrently() -> None:
    with pytest.raises(NewelError, match="is partitioned"):
        meaning("index_users", seen=objects(table("users", partitioned=True))).values["columns"](None)


def test_a_table_without_a_known_key_or_column_is_refused_where_it_matters() -> None:
    bare = objects(Table("app", "users", "000001"))
    for placeholder, said in (
        ("key", "a primary key"),
        ("columns", "can be indexed"),
        ("column", "can be changed"),
    ):
        with pytest.raises(NewelError, match=said):
            meaning("users", seen=bare).values[placeholder]("t")


def test_the_users_key_gives_the_type_of_a_users_id() -> None:
    uuid = Table("app", "users", "000001", (Column("uid", "uuid"),), ("uid",))
    assert meaning("x", seen=objects(uuid)).references_users == " REFERENCES app.users (uid)"
    assert meaning("x", seen=objects(uuid)).user_id_type == "UUID"
    assert meaning("x", seen=objects()).references_users == ""
    assert meaning("x", seen=objects()).user_id_type == "INTEGER"
