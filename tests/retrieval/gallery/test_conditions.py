"""The grammar of conditions, against SQLite and LanceDB on random tables."""

from __future__ import annotations

import sqlite3

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossband.errors import CrossbandError
from crossband.retrieval.gallery.conditions import fulfils, parse_condition, to_milvus, to_sql
from crossband.retrieval.gallery.lance import LanceStore, row_schema

COLUMNS = {"camera": "text", "place": "text", "x": "number"}
TEXTS = [None, "", "a", "ab", "it's", 'say "b"', "A", "a%b", "ü"]
NUMBERS = [None, -1.5, 0.0, 2.0, 3.0, 1e9]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


texts = st.sampled_from([text for text in TEXTS if text is not None]).map(quoted)
numbers = st.sampled_from(["-1.5", "0", "2", "3.0", "1e9", "+2", ".5"])
atoms = st.one_of(
    st.tuples(
        st.sampled_from(["camera", "place"]), st.sampled_from(["=", "!=", "<>", "<", ">=", "=="]), texts
    ).map(" ".join),
    st.tuples(st.just("x"), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), numbers).map(" ".join),
    st.tuples(st.sampled_from(["camera IN", "place not in"]), st.lists(texts, min_size=1, max_size=3)).map(
        lambda t: f"{t[0]} ({', '.join(t[1])})"
    ),
    st.tuples(numbers, numbers).map(lambda t: f"x BETWEEN {t[0]} AND {t[1]}"),
    st.tuples(numbers, numbers).map(lambda t: f"x NOT BETWEEN {t[0]} AND {t[1]}"),
    st.sampled_from(["camera LIKE 'a%'", "place NOT LIKE '%b'", "camera IS NULL", "x is not null"]),
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "or"]), inner).map(" ".join),
        inner.map(lambda text: f"NOT ({text})"),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def table():
    """Every pair of values, as (camera, place, x)."""
    rng = np.random.default_rng(0)
    rows = [(camera, TEXTS[rng.integers(len(TEXTS))], x) for camera in TEXTS for x in NUMBERS]
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA case_sensitive_like = ON")
    database.execute("CREATE TABLE rows (number INTEGER, camera TEXT, place TEXT, x REAL)")
    database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", [(n, *row) for n, row in enumerate(rows)])
    return rows, database


@pytest.fixture(scope="module")
def lance(table, tmp_path_factory):
    rows = table[0]
    store = LanceStore(tmp_path_factory.mktemp("rows") / "rows.lance", row_schema(2, "float32"))
    schema = row_schema(2, "float32")
    filled = {name: [None] * len(rows) for name in schema.names} | {
        "key": [str(n) for n in range(len(rows))],
        "camera": [row[0] for row in rows],
        "place": [row[1] for row in rows],
        "x": [row[2] for row in rows],
        "vector": [[0.0, 0.0]] * len(rows),
    }
    store.upsert(pa.table(filled, schema=schema))
    return store


def by_sqlite(database: sqlite3.Connection, sql: str) -> set[int]:
    return {row[0] for row in database.execute(f"SELECT number FROM rows WHERE {sql}")}


@settings(max_examples=150, deadline=None)
@given(text=conditions)
def test_a_condition_means_what_sqlite_takes_it_for(text, table):
    """``NOT`` is resolved here and not there: what is not known must come out alike."""
    original = text.replace("==", "=")
    assert by_sqlite(table[1], to_sql(parse_condition(text, COLUMNS))) == by_sqlite(table[1], original)


@settings(max_examples=40, deadline=None)
@given(text=conditions)
@pytest.mark.slow
def test_lance_finds_what_sqlite_finds(text, table, lance):
    found = {int(key) for key in lance.read(["key"], text)["key"].to_pylist()}
    assert found == by_sqlite(table[1], text.replace("==", "="))


@settings(max_examples=100, deadline=None)
@given(text=conditions)
def test_rows_in_memory_fulfil_what_sqlite_finds(text, table):
    columns = dict(zip(COLUMNS, zip(*table[0], strict=True), strict=True))
    kinds = {name: pa.string() if kind == "text" else pa.float64() for name, kind in COLUMNS.items()}
    known = pa.table({name: pa.array(columns[name], kinds[name]) for name in COLUMNS})
    found = fulfils(parse_condition(text, COLUMNS), known)
    assert set(np.flatnonzero(found).tolist()) == by_sqlite(table[1], text.replace("==", "="))


def milvus_truth(expression: str, row: tuple) -> bool:
    """What a Milvus expression says of a row, by Python's own reading of it; empty text and 0 where empty."""
    names = dict(zip(COLUMNS, row, strict=True))
    known = {f"has_{name}": value is not None for name, value in names.items()}
    values = {n: ("" if COLUMNS[n] == "text" else 0.0) if v is None else v for n, v in names.items()}
    python = expression.replace(" == true", "").replace("has_x == false", "not has_x")
    python = python.replace("has_camera == false", "not has_camera").replace(
        "has_place == false", "not has_place"
    )
    python = python.replace(' like "a%"', '.startswith("a")')
    return bool(eval(python, {"__builtins__": {}}, {**known, **values}))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(text=conditions.filter(lambda text: "%b'" not in text))
def test_the_expression_for_milvus_says_the_same(text, table):
    rows, database = table
    expression = to_milvus(parse_condition(text, COLUMNS))
    assert {n for n, row in enumerate(rows) if milvus_truth(expression, row)} == by_sqlite(
        database, text.replace("==", "=")
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("camra = 'a'", "did you mean camera"),
        ("x = 'a'", "x is a number"),
        ("camera = 5", "'5'"),
        ("camera", "the end"),
        ("camera = 'a' x = 1", "'x'"),
        ("camera = 'a", "not understood"),
        ("camera = 'a'; DROP TABLE rows", "';'"),
        ("x = 1e999", "too large"),
        ("x LIKE 'a'", "LIKE is for text"),
        ("camera IN ()", "a text in quotes"),
        ("x = 1 OR", "the name of a column"),
        ("", "the name of a column"),
        ("(" * 60 + "x = 1" + ")" * 60, "50"),
        ("camera = '" + "a" * 20_000 + "'", "characters"),
        ("lower(camera) = 'a'", "lower"),
        ("1 = 1", "the name of a column"),
    ],
)
def test_what_is_no_condition_is_refused_and_says_where(text, named):
    with pytest.raises(CrossbandError, match="is no condition on camera, place, x") as caught:
        parse_condition(text, COLUMNS)
    assert named in str(caught.value)
    assert caught.value.parameter == "where"
    assert len(str(caught.value)) < 500


def test_milvus_has_no_patterns_but_beginnings():
    with pytest.raises(CrossbandError, match="beginnings"):
        to_milvus(parse_condition("camera LIKE '%a'", COLUMNS))
