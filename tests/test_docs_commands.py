"""What README.md and docs/retrieval.md tell people to type runs as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import PIL.Image
import pytest
import typer

from crossband.cli import app
from crossband.frames import Frames

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"```(bash|python)\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: str) -> list[list[str]]:
    lines = [line for kind, code in blocks(page) if kind == "bash" for line in code.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.fixture
def workplace(tmp_path, monkeypatch, make_pairs):
    """A folder with the images that the pages speak of; it is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.delenv("CROSSBAND_STORE", raising=False)
    for name, n, seed in (("my_pairs", 4, 0), ("new_pairs", 2, 1), ("other_pairs", 130, 2)):
        pairs = make_pairs(tmp_path / f"{name}_png", n=n, seed=seed)
        for band, folder, suffix in (("rgb", "visible", ".jpg"), ("tir", "thermal", ".tif")):
            target = tmp_path / name / folder
            target.mkdir(parents=True)
            for image in (pairs / band).iterdir():
                PIL.Image.open(image).save(target / f"{image.stem}{suffix}")
        shutil.rmtree(pairs)
    shutil.copy("my_pairs/visible/0002.jpg", "photo.jpg")
    return tmp_path


def say_where_and_when(folder: str) -> None:
    """The metadata that the pages filter by, which no folder of images tells."""
    manifest = Path(folder, "frames.parquet")
    if manifest.is_file():
        frames = Frames.read(manifest)
        frames.assign(camera="north", condition="night", sequence="test").write(manifest)


@pytest.mark.parametrize("page", ["README.md", "docs/retrieval.md"])
def test_the_commands_run_in_their_order(workplace, page, capsys):
    ran = 0
    for program, *arguments in commands(page):
        if program == "make":
            targets = [word for word in arguments if "=" not in word]
            subprocess.run(["make", "-n", "-C", ROOT, *targets], check=True, capture_output=True)
            continue
        assert program == "crossband"
        command = typer.main.get_command(app)
        assert command.main(arguments, standalone_mode=False) in (None, 0), capsys.readouterr().err
        say_where_and_when("my_pairs")
        ran += 1
    assert ran >= 3


def test_the_python_of_the_retrieval_page_runs(workplace):
    for kind, code in blocks("docs/retrieval.md"):
        if kind == "python":
            exec(compile(code, "docs/retrieval.md", "exec"), {})


def test_the_reference_of_the_verbs_is_up_to_date():
    import runpy

    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "docs" / "build.py"))["page"]() == written, "run make docs"
