"""The documentation site builds without warnings, and its pages load nothing from another host."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(site):
    tags = re.compile(
        r"<(script|img|link|iframe|source|video|object)\b[^>]*?\b(?:src|href|data)=\"?((?:https?:)?//[^\s\">]+)"
    )
    for page in site.rglob("*.html"):
        assert not tags.findall(page.read_text(encoding="utf-8")), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


@pytest.mark.slow
def test_the_site_has_the_guides_the_reference_and_the_project(site):
    for page in (
        "index",
        "retrieval",
        "cli",
        "decisions",
        "changelog",
        "contributing",
        "api/retrieval",
        "examples/galleries",
    ):
        assert (site / f"{page}.html").is_file(), page
    text = (site / "api" / "retrieval.html").read_text(encoding="utf-8")
    assert 'id="crossband.retrieval.benchmark.benchmark"' in text
    assert ":func:" not in text
    assert ":class:" not in text


@pytest.mark.parametrize(
    ("page", "foreign"),
    [
        ('<a href="https://example.org">there</a>', 0),
        ('<script src="https://example.org/a.js"></script>', 1),
        ('<link rel="stylesheet" href="//fonts.example.org/css">', 1),
        ('<link rel="canonical" href="https://example.org/">', 0),
        ('<img src="a.png" srcset="b.png 1x, https://example.org/c.png 2x">', 1),
    ],
)
def test_the_build_itself_refuses_what_is_loaded_from_elsewhere(tmp_path, page, foreign):
    pytest.importorskip("mkdocs")
    (tmp_path / "index.html").write_text(page)
    found = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["foreign_resources"](tmp_path)
    assert len(found) == foreign


def test_tables_and_roles_of_docstrings_become_markdown():
    pytest.importorskip("griffe")
    roles = runpy.run_path(str(ROOT / "docs" / "roles.py"))
    rows = [
        "=====  ===========",
        "``a``  the first,",
        "       by name",
        "``b``  the second",
        "=====  ===========",
    ]
    told = "\n".join(["Which:", "", *rows, "", "End."])
    table = roles["with_tables"](told)
    assert "| ``a`` | the first, by name |" in table
    assert table.endswith("End.")
    assert (
        roles["_linked"](re.match(r":\w+:`([^`]+)`", ":class:`~crossband.frames.Frames`")).count("crossband")
        == 1
    )
