"""Every public function says in its first line what it does: one imperative sentence that fits a line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import crossband

SOURCES = Path(crossband.__file__).parent
LONGEST = 100
WORDS = "the a an whether how where what when why which who of as is are each every all both"
NOT_VERBS = frozenset(WORDS.split())
PROPERTIES = {"property", "cached_property"}


def _public(node: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST, str]]:
    """Name, definition and docstring of everything public in a module."""
    for child in getattr(node, "body", []):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and child.name[0] != "_":
            name = inside + child.name
            text = ast.get_docstring(child)
            if text:
                yield name, child, text
            if isinstance(child, ast.ClassDef):
                yield from _public(child, f"{name}.")


def _faults(path: Path) -> Iterator[str]:
    for name, node, text in _public(ast.parse(path.read_text())):
        first = text.splitlines()[0]
        if len(first) > LONGEST:
            yield f"{name}: {len(first)} characters in the first line"
        if not first.endswith((".", "...")):
            yield f"{name}: the first line is not a whole sentence: {first}"
        if isinstance(node, ast.ClassDef) or _is_property(node):
            continue
        word = first.split()[0].strip(".,:;")
        if not word.replace("-", "").isalpha() or word.lower() in NOT_VERBS or _is_third_person(word):
            yield f"{name}: no imperative verb first: {first}"


def _is_property(node: ast.AST) -> bool:
    return any(ast.unparse(one) in PROPERTIES for one in getattr(node, "decorator_list", []))


def _is_third_person(word: str) -> bool:
    return word.endswith("s") and not word.endswith("ss")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted(SOURCES.rglob("*.py")), ids=lambda path: path.relative_to(SOURCES).as_posix()
)
def test_first_lines_are_imperative_sentences_that_fit(path):
    faults = list(_faults(path))
    assert not faults, "\n".join(faults)
