"""CONTRIBUTING.md followed to the letter: its files go into a copy of the package, and its code runs there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

import crossband

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(r"<!-- (?:file: (?P<file>\S+)|run) -->\n```python\n(?P<code>.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> tuple[Path, list[str]]:
    """A copy of the package with the page's files in it, and the code that the page runs."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        Path(crossband.__file__).parent,
        root / "src" / "crossband",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    code = []
    for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        if block["file"]:
            path = root / block["file"]
            assert not path.exists(), f"{path} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["code"], encoding="utf-8")
        else:
            code.append(block["code"])
    return root, code


def python(root: Path, *arguments: str) -> str:
    """Run Python in the copy; what it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(root / "src"),
        "CROSSBAND_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_adds_a_model_a_dataset_and_a_metric(followed):
    root, code = followed
    added = {path.relative_to(root).as_posix() for path in root.rglob("*.py")}
    assert {f"src/crossband/{part}" for part in ("models/edges.py", "datasets/two_cameras.py")} <= added
    assert "src/crossband/metrics/median_rank.py" in added
    assert len(code) == 2


@pytest.mark.slow
def test_what_the_page_runs_runs_with_what_it_adds(followed, make_pairs):
    root, code = followed
    pairs = make_pairs(root / "pairs", n=4)
    for band, folder in (("rgb", "visible"), ("tir", "thermal")):
        (root / "my_pairs" / folder).mkdir(parents=True)
        for image in (pairs / band).iterdir():
            PIL.Image.open(image).save(root / "my_pairs" / folder / f"{image.stem}.png")
    said = python(root, "-c", "\n".join(code))
    assert "edges" in said


@pytest.mark.slow
def test_the_tests_that_the_page_adds_pass(followed):
    root, _ = followed
    options = ["-q", "-p", "no:cacheprovider", "--doctest-modules"]
    said = python(root, "-m", "pytest", *options, "tests", "src/crossband/metrics/median_rank.py")
    assert "2 passed" in said


def test_what_the_page_adds_is_clean(followed):
    root, _ = followed
    new = ["src/crossband/models/edges.py", "src/crossband/datasets/two_cameras.py"]
    new += ["src/crossband/metrics/median_rank.py"]
    config = str(PAGE.with_name("pyproject.toml"))
    python(root, "-m", "ruff", "check", "--no-cache", "--config", config, *new)
    python(root, "-m", "ruff", "format", "--no-cache", "--check", "--config", config, *new)
