"""The page on re-identification names what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from crossband.cli import app
from crossband.metrics.reid import REID_PROTOCOLS
from crossband.models import list_streams
from crossband.training import read_recipe

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reid.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
    if line
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_has_the_options_it_uses(line):
    program, verb, *arguments = shlex.split(line)
    assert program == "crossband"
    command = typer.main.get_command(app).commands[verb]
    assert command.make_context(verb, arguments).params


def test_the_recipes_that_the_page_names_are_there():
    named = re.findall(r"recipes/reid/\w+\.yaml", PAGE)
    assert named
    for name in named:
        assert read_recipe(ROOT / name).task == "reidentification"


def test_the_page_names_every_protocol_and_kind_of_stream():
    for name in [*REID_PROTOCOLS, *(entry.name for entry in list_streams())]:
        assert f"`{name}`" in PAGE


def test_the_images_of_the_page_are_there():
    for image in re.findall(r"\]\((images/.+?)\)", PAGE):
        assert (ROOT / "docs" / image).is_file()
