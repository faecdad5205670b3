"""The page on data says what is so, and its examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from crossband.bands import Units
from crossband.datasets import list_datasets
from crossband.frames import COLUMNS

from .cli.conftest import crossband  # noqa: F401  (fixture)

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_examples_run_in_their_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, code in BLOCKS:
        if language == "python":
            exec(compile(code, str(PAGE), "exec"), names)


@pytest.mark.slow
def test_the_commands_run_in_their_order(crossband):  # noqa: F811
    exec(compile(BLOCKS[0][1], str(PAGE), "exec"), {})
    for language, code in BLOCKS:
        for line in code.splitlines() if language == "sh" else ():
            program, *arguments = shlex.split(line)
            assert program == "crossband"
            done = crossband(*arguments)
            assert done.status == 0, f"{line}: {done.err}"


def test_the_table_has_every_dataset_as_it_is_registered():
    table = PAGE.read_text(encoding="utf-8")
    for entry in list_datasets():
        [row] = re.findall(rf"^\| `{entry.name}` \|.*$", table, flags=re.MULTILINE)
        assert ", ".join(entry.bands) in row
        assert f"({entry.source})" in row
        assert f"| {entry.license} |" in row


def test_the_page_names_every_column_and_all_units():
    page = PAGE.read_text(encoding="utf-8")
    for name in [*COLUMNS, *Units]:
        assert f"`{name}`" in page
