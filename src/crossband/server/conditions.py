"""Conditions on the metadata of a gallery, as a request may give them: parsed, checked and written anew.

The engine behind a gallery runs whole SQL expressions, functions included. Of a stranger's request only
comparisons of known columns with values pass, and what the engine gets is made here from the parts::

    camera = 'north' AND (lat > 46.5 OR place IN ('bridge', 'mill')) AND NOT condition IS NULL
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ..errors import CrossbandError, unknown_name
from ..retrieval.gallery.lance import METADATA

__all__ = ["COLUMNS", "any_of", "both", "checked", "quoted"]

COLUMNS: Mapping[str, pa.DataType] = {"frame": pa.string(), "band": pa.string(), **METADATA}
_LONGEST, _DEEPEST = 4000, 24
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?(?![\w.]))"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign><=|>=|<>|!=|=|<|>|\(|\)|,))"
)
_SIGNS = ("=", "<", ">", "<=", ">=", "<>", "!=")


def checked(where: str | None) -> str | None:
    """Return a condition made of known columns and plain values, or ``None`` for an empty one.

    Raises:
        CrossbandError: anything else.

    Example:
        >>> checked("camera = 'north' and lat>46.5")
        "(camera = 'north' AND lat > 46.5)"
        >>> checked("  ") is None
        True
    """
    if where is None or not where.strip():
        return None
    if len(where) > _LONGEST:
        raise CrossbandError(f"a condition has at most {_LONGEST} signs", parameter="where")
    return _Parser(where).whole()


def any_of(column: str, values: Sequence[str | float]) -> str:
    """Return the condition that a column holds one of some values.

    Raises:
        CrossbandError: no such column, or a value that is not of its kind.

    Example:
        >>> any_of("camera", ["north", "o'er"])
        "camera IN ('north', 'o''er')"
    """
    _kind(column)
    return f"{column} IN ({', '.join(_written(column, value) for value in values)})"


def both(*conditions: str | None) -> str | None:
    """Join conditions by AND.

    Example:
        >>> both("a = 1", None, "b = 2"), both(None)
        ('(a = 1) AND (b = 2)', None)
    """
    given = [one for one in conditions if one]
    return " AND ".join(f"({one})" for one in given) if given else None


def quoted(text: str) -> str:
    """Return a text as SQL writes it.

    Example:
        >>> quoted("o'er")
        "'o''er'"
    """
    return "'" + text.replace("'", "''") + "'"


def _kind(column: str) -> pa.DataType:
    if column not in COLUMNS:
        raise unknown_name("column", column[:60], COLUMNS, parameter="where")
    return COLUMNS[column]


def _written(column: str, value: str | float) -> str:
    numeric = _kind(column) == pa.float64()
    if numeric:
        try:
            return repr(float(value))
        except ValueError:
            raise CrossbandError(f"{column} holds numbers, not {value!r}", parameter="where") from None
    return quoted(str(value))


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None:
                raise self._wrong(f"{text[place:].strip()[:20]!r} is not understood")
            self._tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
            place = found.end()

    def whole(self) -> str:
        made = self._either()
        if self._at < len(self._tokens):
            raise self._wrong(f"{self._tokens[self._at][1][:20]!r} is one too many")
        return made

    def _wrong(self, reason: str) -> CrossbandError:
        return CrossbandError(
            f"no condition: {reason}; write it as camera = 'north' AND lat > 46.5", parameter="where"
        )

    def _next(self, *words: str) -> bool:
        """Whether the next token is one of some words or signs; it is taken then."""
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind in ("word", "sign") and text.upper() in words:
                self._at += 1
                return True
        return False

    def _take(self, *kinds: str) -> str:
        if self._at >= len(self._tokens):
            raise self._wrong("it ends too early")
        kind, text = self._tokens[self._at]
        if kind not in kinds:
            raise self._wrong(f"{text[:20]!r} is not expected there")
        self._at += 1
        return text

    def _expect(self, word: str) -> None:
        if not self._next(word):
            raise self._wrong(f"{word} is missing")

    def _either(self) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong("it is nested too deep")
        parts = [self._all()]
        while self._next("OR"):
            parts.append(self._all())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def _all(self) -> str:
        parts = [self._one()]
        while self._next("AND"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def _one(self) -> str:
        negated = 0
        while self._next("NOT"):
            negated += 1
        if self._next("("):
            made = f"({self._either()})"
            self._expect(")")
        else:
            made = self._comparison()
        return f"NOT ({made})" if negated % 2 else made

    def _comparison(self) -> str:
        column = self._take("word").lower()
        _kind(column)
        if self._next("IS"):
            no = "NOT " if self._next("NOT") else ""
            self._expect("NULL")
            return f"{column} IS {no}NULL"
        no = "NOT " if self._next("NOT") else ""
        if self._next("IN"):
            self._expect("(")
            values = [self._value(column)]
            while self._next(","):
                values.append(self._value(column))
            self._expect(")")
            return f"{column} {no}IN ({', '.join(values)})"
        if self._next("BETWEEN"):
            low = self._value(column)
            self._expect("AND")
            return f"{column} {no}BETWEEN {low} AND {self._value(column)}"
        if self._next("LIKE"):
            if _kind(column) != pa.string():
                raise self._wrong(f"{column} holds numbers, which LIKE does not compare")
            return f"{column} {no}LIKE {self._value(column)}"
        if no:
            raise self._wrong("after NOT comes IN, BETWEEN or LIKE")
        sign = self._take("sign")
        if sign not in _SIGNS:
            raise self._wrong(f"{sign!r} is no comparison")
        return f"{column} {sign} {self._value(column)}"

    def _value(self, column: str) -> str:
        text = self._take("text", "number")
        if text.startswith("'"):
            return _written(column, text[1:-1].replace("''", "'"))
        if _kind(column) == pa.string():
            raise self._wrong(f"{column} holds text; write '{text}'")
        return _written(column, text)
