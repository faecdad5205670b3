"""Conditions on a gallery's metadata: one small grammar, read here and said again to every engine.

``camera = 'north' AND (lat > 46.5 OR lat IS NULL)``: comparisons, ``IN``, ``BETWEEN``, ``LIKE``, ``IS NULL``,
``AND``, ``OR``, ``NOT`` and brackets, with SQL's rule for what is not known: a comparison with an empty value
is not true, and neither is its opposite. Column names are checked and values bound before an engine sees them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import CrossbandError, nearest

__all__ = ["Condition", "Kind", "columns_of", "fulfils", "parse_condition", "to_milvus", "to_sql"]

Kind = Literal["text", "number"]
Value = str | float | int
_LONGEST, _DEEPEST = 10_000, 50
_OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_SIGNS = {"==": "=", "<>": "!="}


@dataclass(frozen=True)
class Compare:
    """A column against a value; ``sign`` is ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``."""

    column: str
    sign: str
    value: Value


@dataclass(frozen=True)
class In:
    """A column's value is one of some, or none of them."""

    column: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True)
class Like:
    """A text matches a pattern: ``%`` any characters, ``_`` one; or it does not."""

    column: str
    pattern: str
    negated: bool = False


@dataclass(frozen=True)
class Empty:
    """A column holds nothing, or something."""

    column: str
    negated: bool = False


@dataclass(frozen=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """One part holds at least."""

    parts: tuple[Condition, ...]


Condition = Compare | In | Like | Empty | AllOf | AnyOf


def parse_condition(text: str, columns: Mapping[str, Kind]) -> Condition:
    """Read a condition; every ``NOT`` is resolved, so that what is left has none.

    Args:
        text: of the grammar above; texts in quotes, ``''`` inside for a quote.
        columns: what may be named, and whether it is text or a number.

    Raises:
        CrossbandError: with ``parameter="where"``: not of the grammar, an unknown column, a value of another
            kind than its column.

    Example:
        >>> parse_condition("NOT (camera = 'a' OR x > 2)", {"camera": "text", "x": "number"})
        AllOf(parts=(Compare(column='camera', sign='!=', value='a'), Compare(column='x', sign='<=', value=2)))
    """
    if len(text) > _LONGEST:
        raise _refused(f"{text[:60]}...", f"{len(text):,} characters, {_LONGEST:,} at most", columns)
    return _Parser(text, columns).whole()


def to_sql(condition: Condition) -> str:
    """Say a condition in SQL, all in brackets.

    Example:
        >>> to_sql(In("camera", ("it's", "b"), negated=True))
        "(camera NOT IN ('it''s', 'b'))"
    """
    match condition:
        case Compare(column, sign, value):
            return f"({column} {sign} {_sql_value(value)})"
        case In(column, values, negated):
            return f"({column} {'NOT IN' if negated else 'IN'} ({', '.join(map(_sql_value, values))}))"
        case Like(column, pattern, negated):
            return f"({column} {'NOT LIKE' if negated else 'LIKE'} {_sql_value(pattern)})"
        case Empty(column, negated):
            return f"({column} IS {'NOT NULL' if negated else 'NULL'})"
        case AllOf(parts):
            return f"({' AND '.join(map(to_sql, parts))})"
        case AnyOf(parts):
            return f"({' OR '.join(map(to_sql, parts))})"


def to_milvus(condition: Condition, filled: Collection[str] = ()) -> str:
    """Say a condition as a Milvus expression, whose rows have ``has_COLUMN`` for what may be empty.

    Args:
        condition: what to say.
        filled: columns that are never empty, and have no such field.

    Raises:
        CrossbandError: a ``LIKE`` other than of a beginning, which Milvus 2.3 has not.

    Example:
        >>> to_milvus(Compare("camera", "!=", "north"))
        '(has_camera == true and camera != "north")'
    """
    match condition:
        case AllOf(parts):
            return f"({' and '.join(to_milvus(part, filled) for part in parts)})"
        case AnyOf(parts):
            return f"({' or '.join(to_milvus(part, filled) for part in parts)})"
        case Empty(column, negated):
            there = f'{column} != ""' if column in filled else f"has_{column} == true"
            return f"({there})" if negated else f"(not ({there}))"
        case Compare(column, sign, value):
            said = f"{column} {'==' if sign == '=' else sign} {json.dumps(value)}"
        case In(column, values, negated):
            said = f"{column} {'not in' if negated else 'in'} {json.dumps(values)}"
        case Like(column, pattern, negated):
            said = f"not ({_beginning(column, pattern)})" if negated else _beginning(column, pattern)
    return f"({said})" if condition.column in filled else f"(has_{condition.column} == true and {said})"


def columns_of(condition: Condition) -> set[str]:
    """Return the columns that a condition names.

    Example:
        >>> sorted(columns_of(AnyOf((Compare("x", ">", 1), Empty("camera")))))
        ['camera', 'x']
    """
    if isinstance(condition, AllOf | AnyOf):
        return set().union(*map(columns_of, condition.parts))
    return {condition.column}


def fulfils(condition: Condition, table: pa.Table) -> np.ndarray:
    """Tell which rows of a table fulfil a condition, boolean ``(n,)``.

    Example:
        >>> fulfils(Compare("x", ">", 1), pa.table({"x": [1.0, 2.0, None]})).tolist()
        [False, True, False]
    """
    return pc.fill_null(_held(condition, table), False).to_numpy()


def _held(condition: Condition, table: pa.Table) -> pa.ChunkedArray:
    """Whether each row fulfils a condition: true, false or, by SQL's rule, not known."""
    match condition:
        case AllOf(parts):
            return functools.reduce(pc.and_kleene, (_held(part, table) for part in parts))
        case AnyOf(parts):
            return functools.reduce(pc.or_kleene, (_held(part, table) for part in parts))
        case Empty(column, negated):
            return pc.is_valid(table[column]) if negated else pc.is_null(table[column])
        case Compare(column, sign, value):
            return _ARROW[sign](table[column], value)
        case In(column, values, negated):
            kind = table.schema.field(column).type
            one = pc.is_in(table[column], pa.array(values).cast(kind))
            return pc.and_kleene(_known(table[column]), pc.invert(one) if negated else one)
        case Like(column, pattern, negated):
            like = pc.match_like(table[column], pattern)
            return pc.invert(like) if negated else like


_ARROW = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """True where a column holds something, and not known elsewhere."""
    return pc.if_else(pc.is_valid(column), True, None)


def _beginning(column: str, pattern: str) -> str:
    begins = pattern.removesuffix("%")
    if begins == pattern or "%" in begins or "_" in begins:
        raise CrossbandError(
            f"{column} LIKE {pattern!r}: Milvus matches beginnings alone, as in 'flight%'", parameter="where"
        )
    return f"{column} like {json.dumps(pattern)}"


def _sql_value(value: Value) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


_TOKEN = re.compile(
    r"""\s+ | --[^\n]*
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><=|>=|<>|!=|==|=|<|>|\(|\)|,)""",
    re.VERBOSE,
)


class _Parser:
    """One pass over the tokens of a condition, by recursive descent."""

    def __init__(self, text: str, columns: Mapping[str, Kind]) -> None:
        self.text, self.columns = text, columns
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.refused(f"{text[at]!r} is not understood")
            if found.lastgroup:
                self.tokens.append((found.lastgroup, found[0]))
            at = found.end()
        self.at = self.depth = 0

    def refused(self, reason: str) -> CrossbandError:
        return _refused(self.text, reason, self.columns)

    def whole(self) -> Condition:
        found = self.either(False)
        if self.at < len(self.tokens):
            raise self.refused(f"{self.tokens[self.at][1]!r} stands where AND, OR or the end should")
        return found

    def either(self, negated: bool) -> Condition:
        parts = [self.both(negated)]
        while self.took("OR"):
            parts.append(self.both(negated))
        return _joined(AllOf if negated else AnyOf, parts)

    def both(self, negated: bool) -> Condition:
        parts = [self.one(negated)]
        while self.took("AND"):
            parts.append(self.one(negated))
        return _joined(AnyOf if negated else AllOf, parts)

    def one(self, negated: bool) -> Condition:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.refused(f"more than {_DEEPEST} brackets or NOT in each other")
        if self.took("NOT"):
            found = self.one(not negated)
        elif self.took("("):
            found = self.either(negated)
            self.wanted(")")
        else:
            found = self.predicate(negated)
        self.depth -= 1
        return found

    def predicate(self, negated: bool) -> Condition:
        column = self.column()
        if self.took("IS"):
            opposite = self.took("NOT")
            self.wanted("NULL")
            return Empty(column, opposite != negated)
        if self.took("NOT"):
            negated = not negated
            return self.set_of(column, negated) or self.fail("IN, LIKE or BETWEEN")
        found = self.set_of(column, negated)
        if found is not None:
            return found
        kind, sign = self.peek()
        sign = _SIGNS.get(sign, sign)
        if kind != "sign" or sign not in _OPPOSITE:
            self.fail("=, <, >, IN, LIKE, BETWEEN or IS")
        self.at += 1
        return Compare(column, _OPPOSITE[sign] if negated else sign, self.value(column))

    def set_of(self, column: str, negated: bool) -> Condition | None:
        """``IN``, ``LIKE`` or ``BETWEEN``, where one stands here."""
        if self.took("IN"):
            self.wanted("(")
            values = [self.value(column)]
            while self.took(","):
                values.append(self.value(column))
            self.wanted(")")
            return In(column, tuple(values), negated)
        if self.took("LIKE"):
            if self.columns[column] != "text":
                raise self.refused(f"{column} is a number, and LIKE is for text")
            return Like(column, str(self.value(column)), negated)
        if self.took("BETWEEN"):
            low = Compare(column, "<" if negated else ">=", self.value(column))
            self.wanted("AND")
            high = Compare(column, ">" if negated else "<=", self.value(column))
            return (AnyOf if negated else AllOf)((low, high))
        return None

    def column(self) -> str:
        kind, name = self.peek()
        if kind != "word":
            self.fail("the name of a column")
        if name not in self.columns:
            near = nearest(name, self.columns)
            raise self.refused(f"there is no column {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        self.at += 1
        return name

    def value(self, column: str) -> Value:
        kind, text = self.peek()
        wanted = self.columns[column]
        if kind not in ("text", "number"):
            self.fail("a number" if wanted == "number" else "a text in quotes")
        if kind != wanted:
            hint = f"write it in quotes, '{text}'" if kind == "number" else f"{text} is text"
            raise self.refused(f"{column} is {'text' if wanted == 'text' else 'a number'}; {hint}")
        self.at += 1
        if kind == "text":
            return text[1:-1].replace(text[0] * 2, text[0])
        number = float(text)
        if abs(number) == float("inf"):
            raise self.refused(f"{text} is too large a number")
        return int(text) if re.fullmatch(r"[-+]?\d{1,15}", text) else number

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "the end")

    def took(self, word: str) -> bool:
        """Whether this word or sign stands here; it is taken then."""
        kind, text = self.peek()
        if kind in ("word", "sign") and text.upper() == word:
            self.at += 1
            return True
        return False

    def wanted(self, word: str) -> None:
        if not self.took(word):
            self.fail(word)

    def fail(self, wanted: str) -> Condition:
        raise self.refused(f"{wanted} should stand in place of {self.peek()[1]!r}")


def _joined(kind: type[AllOf] | type[AnyOf], parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _refused(text: str, reason: str, columns: Mapping[str, Kind]) -> CrossbandError:
    return CrossbandError(f"{text!r} is no condition on {', '.join(columns)}: {reason}", parameter="where")
