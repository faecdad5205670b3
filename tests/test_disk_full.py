"""A disk that is full while a verb writes: one sentence that names the file, and a run that goes on later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .street import write_street
from .test_verbs_and_faults import RECIPES, written


def mount(*arguments: object) -> bool:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of its own, of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or not sys.platform.startswith("linux")
        or not mount("-t", "tmpfs", "-o", "size=2m", "t", folder)
    ):
        pytest.skip("mounting a small disk needs root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


def free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


@pytest.mark.slow
def test_a_disk_that_is_full_while_training_is_a_sentence_and_the_run_goes_on_later(small_disk, tmp_path):
    write_street(tmp_path / "street")
    trainer = {**RECIPES["PLACES"]["trainer"], "epochs": 2, "save_seconds": 0.0}
    recipe = written(tmp_path / "recipe.yaml", {**RECIPES["PLACES"], "trainer": trainer})
    out = small_disk / "run"
    command = [sys.executable, "-m", "crossband", "train", recipe, "--data-root", tmp_path, "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src"), "OMP_NUM_THREADS": "1"}

    def train() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, command)], capture_output=True, text=True, env=environment, check=False
        )

    filler = small_disk / "filler"
    for free in (0, 1 << 16, 1 << 19, 1 << 20):  # another writer meets the end of the disk each time
        filler.unlink(missing_ok=True)
        filler.write_bytes(b"\0" * max(0, free_bytes(small_disk) - free))
        done = train()
        assert done.returncode == 2, (free, done.stderr)
        assert "Traceback" not in done.stderr
        assert "No space left on device" in done.stderr.splitlines()[-1]
        assert str(small_disk) in done.stderr.splitlines()[-1]
        assert not [path.name for path in small_disk.rglob(".*")]
    filler.unlink()
    assert mount("-o", "remount,size=256m", small_disk)
    done = train()
    assert done.returncode == 0, done.stderr
    assert (out / "best.safetensors").is_file()
