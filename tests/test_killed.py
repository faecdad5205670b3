"""Killed at any touch of the disk and started again, every verb ends where one left alone ends.

A disk that is full is one sentence that names the file, and the run goes on later.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband.checkpoints import read_metadata
from crossband.frames import Frames
from crossband.retrieval import Descriptor, Gallery
from crossband.training.logs import read_log

from .conftest import write_pairs
from .killing import Ended, Killer
from .street import write_street
from .test_verbs_and_faults import RECIPES, written
from .uav.conftest import networks, world  # noqa: F401  (fixtures)

pytestmark = pytest.mark.slow
MOST = int(os.environ.get("CROSSBAND_KILLS", "1"))
"""Kills of one verb, at equal steps between its first touch of the disk and its last."""


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with Killer() as one:
        yield one


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("four") / "set", n=4)


def chosen(touches: int) -> list[int]:
    """``MOST`` touches apart from each other and from both ends, where there is least to lose."""
    if touches <= MOST:
        return list(range(1, touches + 1))
    return np.linspace(1, touches, MOST + 2)[1:-1].round().astype(int).tolist()


def killed_everywhere(
    killer: Killer,
    root: Path,
    arguments: tuple[object, ...],
    same: Callable[[Path, Path, Ended], None],
    least: int = 5,
) -> None:
    """Run once, count; then run, killed at each touch, and again; ``same(left alone, killed, its end)``."""
    alone = root / "alone"
    first = killer.run(arguments, alone)
    assert first.status == 0, first.err
    assert first.touches >= least
    for at in chosen(first.touches):
        folder = root / f"killed{at}"
        assert killer.run(arguments, folder, at).status == -9
        pictures_are_whole(folder)
        again = killer.run(arguments, folder)
        assert again.status == 0, (at, again.err)
        same(alone, folder, again)
        left = [path.name for path in folder.rglob("*") if path.name.startswith(".") and path.is_file()]
        assert not left, (at, left)


def pictures_are_whole(folder: Path) -> None:
    """What a killed verb has left under a name of its own can be read."""
    for path in folder.rglob("*"):
        if path.suffix in (".jpg", ".png") and not path.name.startswith("."):
            with PIL.Image.open(path) as image:
                image.load()


def rows_of(folder: Path) -> dict[str, list]:
    return (
        Gallery.open_rows(folder).read(["key", "frame", "band", "digest", "vector"]).sort_by("key").to_pydict()
    )


def same_files(pattern: str) -> Callable[[Path, Path, Ended], None]:
    def same(alone: Path, killed: Path, _: Ended) -> None:
        whole, other = (
            {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in folder.rglob(pattern)
                if path.is_file()
            }
            for folder in (alone, killed)
        )
        assert whole.keys() == other.keys()
        assert [name for name in whole if whole[name] != other[name]] == []

    return same


def test_index(killer, tmp_path, four):
    command = ("index", four, "--gallery", "g", "--model", "hog", "--size", "64x64", "--json")

    def same(alone: Path, killed: Path, again: Ended) -> None:
        whole, found = rows_of(alone / "g"), rows_of(killed / "g")
        assert found == whole
        told = [{**Gallery.info(folder / "g"), "gb_per_million": None} for folder in (alone, killed)]
        assert told[0] == told[1]  # but for the disk: more commits take some bytes more
        said = json.loads(again.out)
        assert said["added"] + said["unchanged"] == 8
        assert said["left_out"] == []
        assert not (killed / "g" / ".embedding").exists()

    killed_everywhere(killer, tmp_path, command, same)
    assert json.loads(killer.run(command, next(tmp_path.glob("killed*[0-9]"))).out)["unchanged"] == 8


def test_fit(killer, tmp_path, four):
    command = ("fit", four, "--model", "hog", "--size", "64x64", "--dim", "2", "--out", "f.safetensors")

    def same(alone: Path, killed: Path, _: Ended) -> None:
        whole, found = (Descriptor.load(str(folder / "f.safetensors")) for folder in (alone, killed))
        assert np.allclose(whole.axes, found.axes)
        assert whole.means.keys() == found.means.keys()

    killed_everywhere(killer, tmp_path, command, same)


def test_train(killer, tmp_path, tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    write_street(data / "street")
    quick = {**RECIPES["PLACES"]["trainer"], "epochs": 2, "save_seconds": 0.0}
    recipe = written(tmp_path / "recipe.yaml", {**RECIPES["PLACES"], "trainer": quick})
    command = ("train", recipe, "--data-root", data, "--out", "run")

    def log(folder: Path) -> list[tuple]:
        timed = ("images_per_s", "mining_share", "seconds")
        rows = read_log(folder / "run")
        return [row for row in rows if not any(name in row[2] for name in timed)]

    def same(alone: Path, killed: Path, _: Ended) -> None:
        whole, found = (folder / "run" / "best.safetensors" for folder in (alone, killed))
        from safetensors.numpy import load_file

        one, other = load_file(whole), load_file(found)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
        assert read_metadata(whole) == read_metadata(found)
        assert log(alone) == log(killed)

    # images that are older than a moment are known from then on, so a first run touches more than later ones
    assert killer.run(command, tmp_path / "first").status == 0
    killed_everywhere(killer, tmp_path, command, same)


def test_simulate(killer, tmp_path):
    pytest.importorskip("embreex")
    command = ("simulate", "--preset", "places", "--frames", "2", "--size", "48x32", "--samples", "1")
    killed_everywhere(killer, tmp_path, (*command, "--workers", "1", "--out", "city"), same_files("*"))


def test_align(killer, tmp_path, four):
    from .test_verbs_and_faults import rig_of

    command = ("align", four, "--use", rig_of(tmp_path / "rig.json"), "--apply", "copies")
    killed_everywhere(killer, tmp_path, command, same_files("*"))


def test_align_rig(killer, tmp_path, four):
    killed_everywhere(killer, tmp_path, ("align", four, "--rig", "--out", "rig"), same_files("*"), 3)


def test_localize(killer, tmp_path, world, networks):  # noqa: F811
    command = (
        "localize",
        world / "world",
        "--map",
        world / "world" / "map",
        "--models",
        networks,
        "--out",
        "out",
    )
    killed_everywhere(killer, tmp_path, command, same_files("*.jsonl"))


def test_reid_in_a_flight(killer, tmp_path, world, networks):  # noqa: F811
    root = world / "world"
    command = ("reid", root / "rgb" / "0_0.png", "--flight", root, "--map", root / "map", "--models", networks)

    def same(alone: Path, killed: Path, end: Ended) -> None:
        for pattern in ("*.jsonl", "*.json", "*.geojson", "*.png"):
            same_files(pattern)(alone, killed, end)

    killed_everywhere(killer, tmp_path, (*command, "--out", "out"), same)


def test_detect_pictures(killer, tmp_path, four):
    killed_everywhere(killer, tmp_path, ("detect", four / "tir", "--out", "out"), same_files("*"))


def test_segment(killer, tmp_path, four):
    from .segmentation.test_predict import checkpoint_of

    checkpoint = checkpoint_of(tmp_path / "s.safetensors")
    command = ("segment", four, "--checkpoint", checkpoint, "--out", "out")
    killed_everywhere(killer, tmp_path, command, same_files("*.png"))


def test_data_extract(killer, tmp_path):
    pages = np.arange(5 * 12 * 16, dtype=np.uint16).reshape(5, 12, 16)
    tifffile.imwrite(tmp_path / "pages.tif", pages, photometric="minisblack")
    command = ("data", "extract", tmp_path / "pages.tif", "--out", "out")
    killed_everywhere(killer, tmp_path, command, same_files("*"))


def test_benchmark(killer, tmp_path, four):
    command = ("benchmark", four, "--models", "hog", "--size", "64x64", "--out", "out", "--query", "rgb")

    def same(alone: Path, killed: Path, _: Ended) -> None:
        one, other = (json.loads((folder / "out" / "results.json").read_text()) for folder in (alone, killed))
        timed = ("images_per_s", "peak_memory_mb", "rerank_ms")
        for results in (one, other):
            for run in results["runs"]:
                for name in timed:
                    run.pop(name, None)
        assert one == other

    killed_everywhere(killer, tmp_path, command, same)


def test_scan(killer, tmp_path, four):
    def same(alone: Path, killed: Path, _: Ended) -> None:
        one, other = (Frames.read(folder / "frames.csv", root=four).table for folder in (alone, killed))
        assert one.equals(other)

    killed_everywhere(killer, tmp_path, ("data", "scan", four, "--out", "frames.csv"), same, 3)


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


def test_a_disk_that_is_full_while_training_is_a_sentence_and_the_run_goes_on_later(
    killer, small_disk, tmp_path
):
    write_street(tmp_path / "street")
    quick = {**RECIPES["PLACES"]["trainer"], "epochs": 2, "save_seconds": 0.0}
    recipe = written(tmp_path / "recipe.yaml", {**RECIPES["PLACES"], "trainer": quick})
    out = small_disk / "run"
    command = ("train", recipe, "--data-root", tmp_path, "--out", out)
    filler = small_disk / "filler"
    for free in (0, 1 << 16, 1 << 19, 1 << 20):  # another writer meets the end of the disk each time
        filler.unlink(missing_ok=True)
        disk = os.statvfs(small_disk)
        filler.write_bytes(b"\0" * max(0, disk.f_bavail * disk.f_frsize - free))
        done = killer.run(command, tmp_path / "work")
        assert done.status == 2, (free, done.err)
        assert "Traceback" not in done.err
        assert "No space left on device" in done.err.splitlines()[-1]
        assert str(small_disk) in done.err.splitlines()[-1]
        assert not [path.name for path in small_disk.rglob(".*")]
    filler.unlink()
    assert mount("-o", "remount,size=256m", small_disk)
    done = killer.run(command, tmp_path / "work")
    assert done.status == 0, done.err
    assert (out / "best.safetensors").is_file()
