"""Imports go downwards only: every package stands in one layer, and none imports what stands above it.

Imports inside functions and under ``TYPE_CHECKING`` count: whoever needs a name of a package to explain its own
types depends on it all the same. The bare package counts only for what is not ``__version__``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "crossband"

LAYERS = (
    {"errors"},
    {
        "files",
        "locks",
        "progress",
        "registry",
        "allocator",
        "geo",
        "bands",
        "rigs",
        "checkpoints",
        "weights",
        "devices",
        "engines",
        "stored",
        "lance_tables",
        "results",
    },
    {"frames", "io"},
    {"nn", "data", "datasets", "simulation", "streams"},
    {"models", "losses", "metrics"},
    {"training", "reports"},
    {"retrieval", "matching"},
    {"reid", "segmentation", "uav"},
    {"papers"},
    {"demo", "export", "factory", "object_search", "profile"},
    {"cli", "server", "__main__"},
)
"""From the bottom to the top. Packages of one layer may import one another, if no circle comes of it."""

LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}
DOMAINS = {"retrieval", "matching", "reid", "segmentation", "uav"}


def _module(path: Path) -> list[str]:
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def _imported(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Of every import of crossband's own: its line, and what stands directly below ``crossband``."""
    package = _module(path) if path.stem == "__init__" else _module(path)[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            named = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ["crossband", *package][: 1 + len(package) - (node.level - 1)] if node.level else []
            base = above + (node.module.split(".") if node.module else [])
            named = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for parts in named:
            if parts[0] == "crossband" and parts[1:] != ["__version__"]:
                yield node.lineno, parts[1] if len(parts) > 1 else "crossband"


def _edges() -> dict[tuple[str, str], list[str]]:
    """(package, package it imports) -> where."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        own = (_module(path) or ["crossband"])[0]
        for line, other in _imported(path, path.read_text()):
            if own not in ("crossband", other):  # the top level gives names away, on first use
                found.setdefault((own, other), []).append(f"{path.relative_to(SOURCE)}:{line} imports {other}")
    return found


EDGES = _edges()


def _where(pairs: list[tuple[str, str]]) -> str:
    return "\n".join(place for pair in pairs for place in EDGES[pair])


def test_every_package_has_its_layer():
    there = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert there - {"__init__"} <= set(LEVEL), "give each new package or module a layer in LAYERS"


def test_imports_go_downwards_only():
    assert not _where([(own, other) for own, other in EDGES if LEVEL[other] > LEVEL[own]])


def test_training_and_models_know_no_domain_and_no_library_knows_the_command_line():
    above = {name for name, level in LEVEL.items() if level >= LEVEL["training"]}
    assert not _where([edge for edge in EDGES if edge[0] == "training" and edge[1] in DOMAINS])
    assert not _where([edge for edge in EDGES if edge[0] == "models" and edge[1] in above])
    assert not _where([edge for edge in EDGES if edge[1] == "cli" and edge[0] != "__main__"])


def test_packages_form_no_circle():
    below: dict[str, set[str]] = {}
    for own, other in EDGES:
        below.setdefault(own, set()).add(other)

    def circle(name: str, path: tuple[str, ...] = ()) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        for other in sorted(below.get(name, ())):
            if found := circle(other, (*path, name)):
                return found
        return []

    assert not [circle(name) for name in sorted(below) if circle(name)]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("training/engine.py", "from ..uav.flight import Flight", "uav"),
        ("training/engine.py", "from .. import uav", "uav"),
        ("training/engine.py", "from . import recipe", "training"),
        ("training/__init__.py", "from ..uav import flight", "uav"),
        ("uav/tasks/detection.py", "from ...retrieval import search", "retrieval"),
        ("weights.py", "def f():\n    import crossband.cli.data", "cli"),
        ("weights.py", "if TYPE_CHECKING:\n    from crossband.models import Encoder", "models"),
    ],
)
def test_an_import_is_seen_in_every_form(path, text, expected):
    assert [other for _, other in _imported(SOURCE / path, text)] == [expected]


def test_the_version_is_nobodys_import():
    assert not list(_imported(SOURCE / "checkpoints.py", "from . import __version__\nimport torch"))
