"""Which changes of a column's type can lose something, held against what the server does."""

from __future__ import annotations

import itertools
from fractions import Fraction

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newel.project.sql.parser import parse
from newel.validate.types import narrows, type_words

SIZES = st.integers(1, 30)
NUMERIC_PARTS = st.tuples(st.integers(1, 20), st.integers(-3, 20))  # PostgreSQL 15 knows scales like these
NUMERIC = NUMERIC_PARTS.map(lambda parts: "numeric({},{})".format(*parts))
BUILT_IN = st.one_of(
    st.sampled_from(
        ["smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean", "uuid", "date", "name",
         "text", "character varying", "bpchar", '"char"', "bit varying", "json", "jsonb", "cidr", "inet", "interval",
         "timestamp with time zone", "timestamp without time zone",
         "time with time zone", "time without time zone"]
    ),
    NUMERIC,
    st.builds("{}({})".format, st.sampled_from(["character varying", "character", "bit", "bit varying"]), SIZES),
    st.builds("interval({})".format, st.integers(0, 6)),
    st.builds(
        "{}({}) {} time zone".format,
        st.sampled_from(["time", "timestamp"]),
        st.integers(0, 6),
        st.sampled_from(["with", "without"]),
    ),
)  # fmt: skip
ANY_TYPE = BUILT_IN | BUILT_IN.map("{}[]".format)


@given(ANY_TYPE)
def test_a_type_does_not_narrow_to_itself_or_to_text(name):
    assert not narrows(name, name)
    assert not narrows(name, "text")
    assert not narrows(name, "character varying")


@given(NUMERIC_PARTS, NUMERIC_PARTS)
def test_a_numeric_narrows_if_its_longest_value_does_not_fit(old, new):
    (precision, scale), (new_precision, new_scale) = old, new
    longest_in_new_units = (10**precision - 1) * Fraction(10) ** (new_scale - scale)
    fits = longest_in_new_units.denominator == 1 and longest_in_new_units < 10**new_precision
    assert narrows(f"numeric({precision},{scale})", f"numeric({new_precision},{new_scale})") == (not fits)


@given(st.sampled_from(["character", "character varying", "bit varying"]), SIZES, SIZES)
def test_a_string_narrows_to_a_shorter_one(name, old, new):
    assert narrows(f"{name}({old})", f"{name}({new})") == (new < old)
    assert narrows(name, f"{name}({new})")


def test_two_changes_that_keep_everything_make_one():
    kept = [(old, new) for old, new in itertools.product(VALUES, VALUES) if not narrows(old, new)]
    wrong = [
        (first, second, third)
        for (first, second), (start, third) in itertools.product(kept, kept)
        if second == start and narrows(first, third)
    ]
    assert wrong == []


@given(BUILT_IN, BUILT_IN)
def test_an_array_narrows_as_its_elements_do(old, new):
    assert narrows(f"{old}[]", f"{new}[]") == narrows(old, new)


@given(
    ANY_TYPE, st.sampled_from(["app.mood", "geometry(Point,4326)", "interval day", "character", "bit", ""])
)
def test_what_is_not_understood_narrows(known, unknown):
    assert narrows(known, unknown)
    assert narrows(unknown, known) == (known not in ("text", "character varying"))


@given(st.text(), st.text())
def test_any_two_wordings_can_be_compared(old, new):
    assert narrows(old, new) in (True, False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("integer", "bigint"),
        ("bigint", "numeric"),
        ("integer", "numeric(12,2)"),
        ("numeric(10,2)", "numeric(12,4)"),
        ("numeric(10,2)", "numeric"),
        ("integer", "double precision"),
        ("real", "double precision"),
        ("character varying(50)", "character varying(51)"),
        ("character(5)", "character varying(5)"),
        ("character(5)", "text"),
        ("text", "character varying"),
        ("timestamp(3) with time zone", "timestamp with time zone"),
        ("timestamp with time zone", "timestamp(6) with time zone"),
        ("interval(2)", "interval"),
        ("bit(3)", "bit varying(3)"),
        ("cidr", "inet"),
        ("jsonb", "text"),
        ("character varying(5)[]", "text[]"),
        ("app.mood", "app.mood"),
    ],
)
def test_a_wider_type_does_not_narrow(old, new):
    assert not narrows(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bigint", "integer"),
        ("integer", "numeric(11,2)"),
        ("integer", "real"),
        ("bigint", "double precision"),
        ("double precision", "numeric"),
        ("double precision", "real"),
        ("numeric(10,2)", "numeric(10,3)"),
        ("numeric(10,2)", "numeric(12,1)"),
        ("numeric", "numeric(1000,500)"),
        ("numeric(4,0)", "integer"),
        ("character varying(50)", "character varying(49)"),
        ("text", "character varying(50)"),
        ("character varying(5)", "character(5)"),
        ("character(5)", "character"),
        ("timestamp with time zone", "timestamp(5) with time zone"),
        ("timestamp with time zone", "timestamp without time zone"),
        ("timestamp without time zone", "date"),
        ("date", "timestamp without time zone"),
        ("json", "jsonb"),
        ("text", "text[]"),
        ("integer", "text[]"),
        ("interval day", "interval"),
        ("app.mood", "app.feeling"),
        ("geometry(Point,4326)", "geometry"),
    ],
)
def test_any_other_change_narrows(old, new):
    assert narrows(old, new)


# Values at the edges of each type: the greatest, the longest, the most exact.
VALUES = {
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647", "16777217"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "9007199254740993"],
    "real": ["0.1", "16777215", "3.4028235e38", "1e-45", "NaN", "-Infinity"],
    "double precision": ["0.1", "9007199254740991", "1.7976931348623157e308", "NaN", "Infinity"],
    "numeric": ["1e100", "0.00000000000000000001", "NaN"],
    "numeric(4,0)": ["9999", "NaN"],
    "numeric(5,2)": ["999.99", "-0.01", "NaN"],
    "numeric(8,3)": ["99999.999", "0.001"],
    "numeric(9,4)": ["99999.9999", "0.0001"],
    "numeric(21,2)": ["9999999999999999999.99"],
    "text": ["a longer text than that  ", ""],
    "character varying": ["a longer text than that  "],
    "character varying(3)": ["abc", "a  ", "äöü"],
    "character varying(4)": ["abcd", "a "],
    "character(3)": ["abc", "äöü"],
    "character(4)": ["abcd", "a"],
    "bpchar": ["abcdefgh"],
    "name": ["abcdefgh"],
    "date": ["0044-03-15 BC", "5874897-12-31", "infinity"],
    "timestamp without time zone": ["2024-10-27 01:30:00.123456", "294276-12-31 23:59:59.999999", "infinity"],
    "timestamp(3) without time zone": ["2024-10-27 01:30:00.123"],
    "timestamp with time zone": ["2024-10-27 01:30:00.123456+00", "2024-10-27 00:30:00.1+00", "-infinity"],
    "timestamp(0) with time zone": ["2024-10-27 01:30:00+00"],
    "time without time zone": ["23:59:59.999999", "24:00"],
    "time(1) without time zone": ["12:00:00.1"],
    "time with time zone": ["23:59:59.999999+02"],
    "interval": ["1 year 2 days 00:00:00.123456"],
    "interval(2)": ["1 mon 00:00:00.12"],
    "bit(3)": ["101"],
    "bit(5)": ["10101"],
    "bit varying": ["10101010101"],
    "bit varying(4)": ["1010", "1"],
    "json": ['{"b": 1, "a": 2, "a":  3}'],
    "jsonb": ['{"a": 3, "b": 1}'],
    "cidr": ["10.0.0.0/8"],
    "inet": ["10.1.2.3/8"],
    "boolean": ["t"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "integer[]": ["{2147483647,NULL}"],
    "bigint[]": ["{9223372036854775807}"],
    "character varying(3)[]": ["{abc}"],
    "text[]": ['{"a longer text"}'],
}  # fmt: skip


def test_a_change_that_does_not_narrow_keeps_every_value_on_the_server(database):
    cursor = database.connect().cursor()
    cursor.execute("SET timezone = 'Europe/Berlin'")
    kept = 0
    for old, new in itertools.product(VALUES, VALUES):
        if old == new or narrows(old, new):
            continue
        kept += 1
        cursor.execute(f"CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, v {old}, was {old})")
        for value in VALUES[old]:
            cursor.execute(f"INSERT INTO t (v, was) SELECT x, x FROM (SELECT %s::{old}) AS q (x)", [value])
        cursor.execute(f"ALTER TABLE t ALTER COLUMN v TYPE {new}")
        cursor.execute(f"SELECT was::text, v::text FROM t WHERE v::{old}::text IS DISTINCT FROM was::text")
        assert (old, new, cursor.fetchall()) == (old, new, [])
        cursor.execute("DROP TABLE t")
    assert kept > 100


@pytest.mark.parametrize("family", [("small", "int", "big", "num"), ("char", "bpchar", "text")])
def test_within_a_family_only_what_the_server_cuts_or_refuses_narrows(database, family):
    cursor = database.connect().cursor()
    types = [name for name in VALUES if name.startswith(family) and not name.endswith("[]")]
    needless = []
    for old, new in itertools.product(types, types):
        if not narrows(old, new):
            continue
        cursor.execute(f"CREATE TEMP TABLE t (v {old}, was {old})")
        for value in VALUES[old]:
            cursor.execute("INSERT INTO t VALUES (%s, %s)", [value, value])
        try:
            cursor.execute(f"ALTER TABLE t ALTER COLUMN v TYPE {new}")
            cursor.execute(f"SELECT FROM t WHERE v::{old}::text IS DISTINCT FROM was::text")
            if not cursor.fetchall():
                needless.append((old, new))
        except psycopg2.Error:
            pass
        cursor.execute("DROP TABLE t")
    assert needless == []


WRITTEN = [
    "int", "int2", "int4", "int8", "bigint", "smallint", "pg_catalog.int4", "numeric", "numeric(5)",
    "decimal(10,2)", "dec", "bool", "float", "float(10)", "float4", "real", "double precision", "varchar",
    "varchar(5)", "character varying(5)", "char", "char(3)", "nchar(3)", "bpchar", "bpchar(4)", '"char"',
    "text", "name", "bit", "bit(3)", "varbit", "bit varying(4)", "timestamp", "timestamp(3)",
    "timestamp(0) with time zone", "timestamptz", "timestamptz(2)", "time", "time(2)", "timetz",
    "time with time zone", "time(1) with time zone", "interval", "date", "json", "jsonb", "uuid", "inet",
    "int[]", "int[3]", "int array", "varchar(4)[][]", "timestamp(2)[]", "numeric(5)[]", "mood", 'app."Mood"',
    "app.mood[]",
]  # fmt: skip


def test_a_type_is_worded_as_the_server_words_it(database):
    cursor = database.connect().cursor()
    cursor.execute('CREATE TYPE mood AS ENUM (); CREATE SCHEMA app; CREATE TYPE app."Mood" AS ENUM ()')
    cursor.execute("CREATE TYPE app.mood AS ENUM ()")  # fmt: skip
    for written in WRITTEN:
        sql = f"CREATE TEMP TABLE t (c {written})"
        cursor.execute(sql)
        cursor.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = 't'::regclass AND attname = 'c'"
        )
        words = type_words(parse(sql).table_elts[0].column_def.type_name)
        assert (written, words) == (written, *cursor.fetchone())
        cursor.execute("DROP TABLE t")


@pytest.mark.parametrize("written", ["interval day", "interval(3)", "geometry(Point, 4326)", "app.money(3)"])
def test_a_type_that_only_the_server_can_word_has_no_words(written):
    assert type_words(parse(f"CREATE TABLE t (c {written})").table_elts[0].column_def.type_name) is None
