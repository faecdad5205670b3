"""YAML that somebody else wrote: plain values only, bounded in size, depth and number of values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from ..errors import CrossbandError

__all__ = ["parse_yaml", "read_yaml"]

_MOST_BYTES = 1 << 20
_MOST_VALUES = 20_000
_DEEPEST = 24
_LONGEST_NUMBER = 40  # characters
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")}


def read_yaml(path: str | Path) -> Any:
    """Read the content of a YAML file; see :func:`parse_yaml`.

    Raises:
        CrossbandError: it cannot be read, or is not plain YAML.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = f"{error.strerror}); recipes/ holds those of the papers"
        raise CrossbandError(f"no recipe at {path} ({reason}") from None
    except ValueError:  # a name that no file can have
        raise CrossbandError(f"no recipe at {str(path)[:100]!r}; recipes/ holds those of the papers") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise CrossbandError(f"{path} is no YAML: it is not UTF-8") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Plain values of a YAML text: mappings with text as keys, lists, text, numbers, true, false and null.

    A date stays the text it is. There are no tags but those of plain values, and a value that an
    alias repeats counts each time: with them a short
    text stands for more than fits in memory.

    Args:
        text: the YAML.
        where: what it is called in errors.

    Raises:
        CrossbandError: no YAML, or more than a recipe needs.

    Example:
        >>> parse_yaml("a: {b: [1, 2.5, 2020-13-45, x]}", "r.yaml")
        {'a': {'b': [1, 2.5, '2020-13-45', 'x']}}
    """
    if len(text) > _MOST_BYTES:
        raise CrossbandError(f"{where} is no recipe: it has more than {_MOST_BYTES} bytes")
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _Reader().value(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "problem", None) or error).split())[:120]
        raise CrossbandError(f"{where[:200]} is no YAML: {reason}") from None


def _check_events(text: str) -> None:
    """Bound depth and number of values while nothing is built yet."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        if depth > _DEEPEST or values > _MOST_VALUES:
            raise ValueError(f"it is nested deeper than {_DEEPEST} or has more than {_MOST_VALUES} values")


class _Reader:
    """Builds plain values; a value that aliases repeat counts each time."""

    def __init__(self) -> None:
        self._values = 0

    def value(self, node: yaml.Node, depth: int = 0) -> Any:
        self._values += 1
        if depth > _DEEPEST or self._values > _MOST_VALUES:
            raise ValueError(f"it is nested deeper than {_DEEPEST} or has more than {_MOST_VALUES} values")
        return _value(node, lambda inner: self.value(inner, depth + 1))


def _value(node: yaml.Node, build: Callable[[yaml.Node], Any]) -> Any:
    if node.tag not in _PLAIN and node.tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge"):
        raise ValueError(f"the tag {node.tag[:40]!r} is not read")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, inner in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name in found:
                raise ValueError(f"a key is text and stands once; {str(name)[:40]!r} does not")
            found[name] = build(inner)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [build(inner) for inner in node.value]
    kind = node.tag.rpartition(":")[2]
    if kind not in ("int", "float", "bool", "null"):
        return node.value
    if len(node.value) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(node.value)} characters")
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node)
    finally:
        loader.dispose()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{node.value[:20]} is no finite number")
    return value
