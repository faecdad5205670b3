"""Every verb given a folder with one of each fault: exit 0, what was left out said once, the rest done.

Through the real command line, once a verb; a row of the table is a verb and a fault. ``data check`` is the verb
whose result is faults: its exit status is 2, and each is in its list.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband import cli
from crossband.frames import Frames
from crossband.training import read_recipe, train

from .conftest import write_pairs
from .street import write_street
from .uav.conftest import networks, write_world  # noqa: F401  (a fixture)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def wrong_kind(path: Path) -> None:
    path.write_text("not an image")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def constant(path: Path) -> None:
    size = PIL.Image.open(path).size
    PIL.Image.new("I;16", size, 29000).save(path)


def two_pages(path: Path) -> None:
    pixels = np.asarray(PIL.Image.open(path))
    tifffile.imwrite(path, np.stack([pixels, pixels + 1]), photometric="minisblack")


def with_nan(path: Path) -> None:
    pixels = np.asarray(PIL.Image.open(path)).astype(np.float32)
    pixels[:5] = np.nan
    tifffile.imwrite(path, pixels)


UNUSABLE = (truncated, empty, wrong_kind, folder, dangling, pipe)
SUSPECT = (constant, two_pages, with_nan)
"""Read and used, and said."""
FAULTS = {fault.__name__: fault for fault in (*UNUSABLE, *SUSPECT)}
SOUND = 6


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str
    folder: Path
    files: dict[str, str]
    """fault -> the name of the file that has it, without its suffix"""


@contextmanager
def in_folder(path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def spoiled(images: Path, stems: list[str]) -> dict[str, str]:
    """Give one image of a folder each fault; which image has which."""
    assert len(stems) >= len(FAULTS)
    files = dict(zip(FAULTS, stems, strict=False))
    for fault, stem in files.items():
        FAULTS[fault](images / f"{stem}.png")
    return files


def pairs_with_faults(root: Path) -> dict[str, str]:
    n = SOUND + len(FAULTS)
    write_pairs(root, n=n)
    (root / "labels").mkdir()
    names = [f"{i:04d}" for i in range(n)]
    for name in names:
        PIL.Image.fromarray(np.tile(np.arange(4, dtype=np.uint8), (48, 16))).save(
            root / "labels" / f"{name}.png"
        )
    columns = {band: [f"{band}/{name}.png" for name in names] for band in ("rgb", "tir", "labels")}
    rows = [
        dict(zip(("frame", *columns), row, strict=True)) for row in zip(names, *columns.values(), strict=True)
    ]
    Frames.make(rows, root).write(root / "frames.parquet")
    return spoiled(root / "tir", names[SOUND:])


def flight_with_faults(root: Path) -> dict[str, str]:
    write_world(root, flights=3, frames=5)
    return spoiled(root / "tir", [f"{flight}_{step}" for flight in (1, 2) for step in range(5)])


def vehicles_with_faults(root: Path) -> dict[str, str]:
    from .reid.test_task import write_vehicles

    write_vehicles(root)
    frames = Frames.read(root / "frames.parquet")
    whole = frames.select(frames.table["camera"].isin(["c0", "c1", "c2"]).to_numpy(bool))
    whole.write(root / "frames.parquet")
    return spoiled(root / "tir", [name for name in whole.names if name != "v4c1"])


def street_with_faults(root: Path) -> dict[str, str]:
    write_street(root / "street", n=24)
    return spoiled(root / "street" / "tir", [f"day{place}" for place in range(len(FAULTS))])


def labeled_with_faults(root: Path) -> dict[str, str]:
    return pairs_with_faults(root / "street")


Make = Callable[[Path], dict[str, str]]
SMALL = ("--size", "64x64")
HOG = ("--models", "hog", *SMALL)
FLIGHT = ("--map", "ROOT/map", "--models", "MODELS", "--out", "OUT")


@dataclass(frozen=True)
class Verb:
    """A verb on a folder: its arguments, with ``ROOT``, ``OUT``, and names of what is made beforehand.

    Attributes:
        arguments: as one types them.
        make: what the folder holds.
        status: when all goes well.
        unsaid: faults that make no difference to it, so that it need not speak of them.
    """

    arguments: tuple[str, ...]
    make: Make = pairs_with_faults
    status: int = 0
    unsaid: tuple[str, ...] = ()


VERBS = {
    # a scan looks at first bytes, and decodes a few images only; data check decodes all
    "data scan": Verb(("data", "scan", "ROOT", "--out", "ROOT/frames.csv"), unsaid=("truncated", "constant")),
    "data check": Verb(("data", "check", "ROOT"), status=2),
    "benchmark": Verb(("benchmark", "ROOT", *HOG, "--out", "OUT")),
    "robustness": Verb(("robustness", "ROOT", *HOG, "--out", "OUT")),
    "explain": Verb(("explain", "ROOT", *HOG, "--out", "OUT", "--projections", "pca", "--window", "0")),
    "index": Verb(("index", "ROOT", "--gallery", "OUT/g", "--model", "hog", "--size", "64x64")),
    "fit": Verb(
        ("fit", "ROOT", "--model", "hog", "--size", "64x64", "--dim", "3", "--out", "OUT/f.safetensors")
    ),
    "demo": Verb(("demo", "--data", "ROOT", "--models", "hog", "--out", "OUT")),
    "segment": Verb(("segment", "ROOT", "--checkpoint", "SEGMENT", "--out", "OUT")),
    "segment-robustness": Verb(("segment-robustness", "ROOT", "--checkpoint", "SEGMENT", "--out", "OUT")),
    "detect": Verb(("detect", "ROOT/tir", "--out", "OUT")),
    "detect frames": Verb(("detect", "ROOT", "--out", "OUT")),
    "align": Verb(("align", "ROOT", "--rig", "--out", "OUT")),
    "train": Verb(("train", "PLACES", "--data-root", "ROOT", "--out", "OUT"), street_with_faults),
    "evaluate": Verb(("evaluate", "PLACES", "--data-root", "ROOT", "--out", "OUT"), street_with_faults),
    "train segmentation": Verb(
        ("train", "LABELED", "--data-root", "ROOT", "--out", "OUT"), labeled_with_faults
    ),
    "align apply": Verb(("align", "ROOT", "--use", "RIG", "--apply", "OUT/a")),
    "reid": Verb(("reid", "v4c1", "--gallery", "ROOT", "--checkpoint", "REID"), vehicles_with_faults),
    "localize": Verb(("localize", "ROOT", *FLIGHT), flight_with_faults),
    "detect flight": Verb(("detect", "ROOT", *FLIGHT), flight_with_faults),
    "reid flight": Verb(
        (
            "reid",
            "ROOT/rgb/0_0.png",
            "--flight",
            "ROOT",
            "--map",
            "ROOT/map",
            "--models",
            "MODELS",
            "--out",
            "OUT",
        ),
        flight_with_faults,
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, networks) -> dict[str, Path]:  # noqa: F811
    """What verbs take besides a folder: checkpoints, by the word that stands for each."""
    from .reid.test_task import content, write_vehicles
    from .segmentation.test_predict import checkpoint_of

    root = tmp_path_factory.mktemp("made")
    write_vehicles(root / "vehicles")
    write_vehicles(root / "others", seed=1)
    recipe = read_recipe(content(trainer={"epochs": 1}))
    reid = Path(train(recipe, [], root / "run", data_root=root).checkpoint)
    return {
        "SEGMENT": checkpoint_of(root / "s.safetensors", classes=["void", "a", "b", "c"]),
        "REID": reid,
        "MODELS": networks,
        "RIG": rig_of(root / "rig.json"),
        **{name: written(root / f"{name}.yaml", recipe) for name, recipe in RECIPES.items()},
    }


def part(**where: str) -> dict[str, object]:
    return {"frames": "street", "where": {column: [value] for column, value in where.items()}}


QUICK = {"epochs": 1, "batch_size": 2, "device": "cpu"}
RECIPES = {
    "PLACES": {
        "task": "places",
        "data": {
            "train": part(split="train"),
            "val": {"queries": part(split="val"), "gallery": part(sequence="day")},
            "test": {"night": {"queries": part(split="test"), "gallery": part(sequence="day")}},
            "gallery_bands": ["tir"],
            "size": [32, 32],
        },
        "model": {"encoder": "squeezenet1_1", "layer": "features.4", "pretrained": False},
        "sampling": {"positive": 2.0, "negative": 5.0, "n_negatives": 2},
        "trainer": QUICK,
    },
    "LABELED": {
        "task": "segmentation",
        "data": {
            "train": {"frames": "street", "every": 2},
            "val": {"frames": "street"},
            "classes": ["void", "a", "b", "c"],
            "size": [48, 64],
        },
        "model": {"name": "mfnet", "pretrained": False},
        "trainer": QUICK,
    },
}


def written(path: Path, recipe: dict[str, object]) -> Path:
    path.write_text(json.dumps(recipe))  # JSON is YAML
    return path


def rig_of(path: Path) -> Path:
    side = {"size": [48, 64]}
    content = {"format": "crossband-rig-1", "matrix": np.eye(3).tolist(), "model": "homography"}
    content |= {
        "first": {"band": "rgb", **side},
        "second": {"band": "tir", **side},
        "pairs": [],
        "left_out": {},
    }
    path.write_text(json.dumps({**content, "error_px": 0.0, "spread_px": 0.0, "one_transform": True}))
    return path


def call(verb: Verb, folder: Path, made: dict[str, Path]) -> Done:
    files = verb.make(folder / "set")
    words = {
        **{word: str(path) for word, path in made.items()},
        "ROOT": str(folder / "set"),
        "OUT": str(folder / "out"),
    }
    (folder / "out").mkdir()
    arguments = []
    for text in verb.arguments:
        first, slash, rest = text.partition("/")
        arguments.append(words.get(first, first) + slash + rest)
    out, err = (folder / f"{kind}.txt" for kind in ("stdout", "stderr"))
    with pytest.MonkeyPatch.context() as patch, in_folder(folder):
        patch.setattr(sys, "argv", ["crossband", *arguments])
        patch.setenv("CROSSBAND_OFFLINE", "1")
        with open(out, "w") as o, open(err, "w") as e:
            patch.setattr(sys, "stdout", o)
            patch.setattr(sys, "stderr", e)
            with pytest.raises(SystemExit) as caught:
                cli.main()
    return Done(int(caught.value.code or 0), out.read_text(), err.read_text(), folder / "out", files)


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_the_rest_is_done_and_each_fault_is_said_once(tmp_path, made, name):
    verb = VERBS[name]
    found = call(verb, tmp_path, made)
    assert found.status == verb.status, found.err
    assert "Traceback" not in found.err
    lines = (found.out if name == "data check" else found.err).splitlines()
    said = {
        fault: sum(f"tir/{stem}.png" in line for line in lines)
        for fault, stem in found.files.items()
        if fault not in verb.unsaid
    }
    assert said == dict.fromkeys(said, 1), "\n".join(lines)
