"""What the pages tell people to type runs as it stands there."""

from __future__ import annotations

import json
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

from .street import write_street

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[tuple[str, str]]:
    """The language and the code of each block of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```(bash|sh|python)\n(.*?)```", text, flags=re.DOTALL)


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


def type_in(line: str) -> None:
    """Run one line of a page as a user would: crossband itself; of make, only that it knows the target."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "make":
        targets = [word for word in arguments if "=" not in word]
        subprocess.run(["make", "-n", "-C", ROOT, *targets], check=True, capture_output=True)
        return
    assert program == "crossband"
    assert typer.main.get_command(app).main(arguments, standalone_mode=False) in (None, 0), line
    say_where_and_when("my_pairs")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/retrieval.md", "docs/explain.md", "docs/simulate.md"])
def test_what_a_page_shows_runs_in_its_order(workplace, page):
    shown = blocks(page)
    assert shown
    names: dict[str, object] = {}
    for language, code in shown:
        if language == "python":
            exec(compile(code, page, "exec"), names)
            continue
        for line in filter(str.strip, code.splitlines()):
            type_in(line)


@pytest.mark.slow
def test_the_page_on_training_runs_on_a_small_recipe(workplace):
    """The commands as they stand; the recipe they name is one that trains in seconds."""
    write_street(Path("data/street"))
    day, night = ({"frames": "street", "where": {"sequence": [visit]}} for visit in ("day", "night"))
    pair = {"queries": {**night, "where": {"split": ["val"]}}, "gallery": day}
    small = {
        "task": "places",
        "data": {
            "train": {"frames": "street", "where": {"split": ["train"]}},
            "val": pair,
            "test": {"night": {**pair, "queries": {**night, "where": {"split": ["test"]}}}},
            "size": [32, 32],
        },
        "model": {"encoder": "squeezenet1_1", "layer": "features.4", "pretrained": False},
        "sampling": {"positive": 2, "negative": 5, "n_negatives": 2},
        "trainer": {"epochs": 1, "device": "cpu"},
    }
    Path("recipes/vpr").mkdir(parents=True)
    Path("recipes/vpr/city_gem_triplet.yaml").write_text(json.dumps(small))
    shown = [(language, code) for language, code in blocks("docs/training.md") if "city_gem" in code]
    assert [language for language, _ in shown] == ["python", "bash"]
    for language, code in shown:
        if language == "python":
            exec(compile(code.replace("epochs=5", "epochs=1"), "docs/training.md", "exec"), {})
            shutil.rmtree("out/gem")
            continue
        for line in filter(str.strip, code.splitlines()):
            type_in(line)


def test_the_reference_of_the_verbs_is_up_to_date():
    import runpy

    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "docs" / "build.py"))["page"]() == written, "run make docs"
