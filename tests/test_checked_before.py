"""What a verb needs is looked for before its work starts: files, folders, networks, bands, units, extras."""

from __future__ import annotations

import importlib
import json
import shutil
import sys

import pytest

from crossband import cli
from crossband.datasets import scan
from crossband.frames import Frames

from .conftest import write_pairs
from .test_verbs_and_faults import RECIPES, rig_of, written
from .uav.conftest import networks, world  # noqa: F401  (fixtures)

WORK = (
    "crossband.retrieval.descriptor.descriptor:Descriptor.pooled",
    "crossband.uav.stages:StageFile.run",
    "crossband.uav.stages:open_tiles",
    "crossband.uav.translate:translate_photograph",
    "crossband.segmentation.robustness:confusion_of",
    "crossband.segmentation.predict:LoadedSegmenter.labels",
    "crossband.simulation.render:_render",
    "crossband.matching.align:Aligner.align",
    "crossband.matching.rig:Rig.warp",
    "crossband.reid.search:describe_frames",
    "crossband.datasets:_recognize",
    "crossband.export:network_of",
    "lightning:Trainer.fit",
)
"""Where each verb's work is done."""


SHORT = {
    "--flight FLIGHT --map MAP --models MODELS": "ASKED",
    "--map MAP --models MODELS": "MODELED",
    "--map MAP --models INCOMPLETE": "INCOMPLETED",
    "--model MODELS/translation.safetensors": "TRANSLATED",
}


class WorkBegan(AssertionError):
    pass


@pytest.fixture(scope="module")
def at(tmp_path_factory, networks, world) -> dict[str, str]:  # noqa: F811
    """What stands for the words of a command."""
    from .reid.test_task import write_vehicles
    from .segmentation.test_predict import checkpoint_of

    root = tmp_path_factory.mktemp("before")
    pairs = write_pairs(root / "pairs", n=6)
    scan(pairs).write(pairs / "frames.parquet")
    counts = root / "counts"
    shutil.copytree(world / "world", counts)
    Frames.read(counts / "frames.parquet").assign(tir_units="counts").write(counts / "frames.parquet")
    (root / "file").write_text("in the way")
    incomplete = shutil.copytree(networks, root / "incomplete")
    (incomplete / "detection.safetensors").write_text("none")
    write_vehicles(root / "vehicles")
    labeled = write_pairs(root / "labeled", n=2)
    words = {
        "PAIRS": pairs,
        "LABELED": labeled,
        "PHOTO": pairs / "rgb" / "0000.png",
        "FLIGHT": world / "world",
        "COUNTS": counts,
        "MAP": world / "world" / "map",
        "MODELS": networks,
        "INCOMPLETE": incomplete,
        "SEGMENT": checkpoint_of(root / "s.safetensors"),
        "RIG": rig_of(root / "rig.json"),
        "BLOCKED": root / "file" / "below",
        "FILE": root / "file",
        "GONE": root / "gone",
        "VEHICLES": root / "vehicles",
        "DATA": root,
        "RECIPE": written(root / "places.yaml", {**RECIPES["PLACES"], "title": "x"}),
    }
    return {word: str(path) for word, path in words.items()}


CASES: dict[str, tuple[str, str]] = {
    "a flight in counts": ("reid PHOTO --flight COUNTS MODELED --out OUT", "counts"),
    "a detector that is none": (
        "reid PHOTO --flight FLIGHT INCOMPLETED --out OUT",
        "detection",
    ),
    "a flight's folder in the way": (
        "reid PHOTO ASKED --out BLOCKED",
        "below",
    ),
    "a photograph that is gone": ("reid GONE ASKED --out OUT", "gone"),
    "no map for a detector that reads it": ("detect FLIGHT --models MODELS --out OUT", "map"),
    "positions' folder in the way": ("localize FLIGHT MODELED --out BLOCKED", "below"),
    "detections' folder in the way": ("detect PAIRS/tir --out BLOCKED", "below"),
    "units nobody knows": ("detect PAIRS/tir --units furlong --out OUT", "furlong"),
    "a translation that is no PNG": (
        "translate PHOTO TRANSLATED --out OUT/a.jpg",
        "png",
    ),
    "a temperature of counts": (
        "translate PHOTO TRANSLATED --flight COUNTS --out OUT/a.png",
        "counts",
    ),
    "a strip of no kind": ("search PHOTO --gallery GALLERY --strip OUT/a.xyz", "xyz"),
    "no matches asked for": ("search PHOTO --gallery GALLERY -k 0", "k is"),
    "a strip of vehicles of no kind": ("reid v4c1 --gallery VEHICLES --checkpoint GONE --out OUT/a.xyz", "xyz"),
    "a second model nobody knows": ("benchmark PAIRS --models hog,hgo --out OUT", "hgo"),
    "a third model nobody knows": ("robustness PAIRS --models hog,hog8,hgo --out OUT", "hog8"),
    "results in the way": ("benchmark PAIRS --models hog --out BLOCKED", "below"),
    "a protocol nobody knows": ("benchmark PAIRS --models hog --protocol near --out OUT", "near"),
    "a band that is not there": ("benchmark PAIRS --models hog --query nir --out OUT", "nir"),
    "places without places": ("benchmark PAIRS --models hog --protocol place --out OUT", "place"),
    "a query that is no frame": ("explain PAIRS --models hog --frame 9999 --out OUT", "9999"),
    "a projection nobody knows": ("explain PAIRS --models hog --projections tnse --out OUT", "tsne"),
    "axes with another suffix": ("fit PAIRS --model hog --dim 3 --out OUT/a.npz", "safetensors"),
    "more axes than images": ("fit PAIRS --model hog --dim 300 --out OUT/a.safetensors", "images"),
    "a gallery in the way": ("index PAIRS --gallery BLOCKED --model hog --store OUT/s", "another folder"),
    "a dtype nobody knows": ("index PAIRS --gallery OUT/g --model hog --dtype float8", "float8"),
    "a second checkpoint that is gone": (
        "segment-robustness PAIRS --checkpoint a=SEGMENT --checkpoint b=GONE --out OUT",
        "gone",
    ),
    "no labels to measure by": ("segment-robustness PAIRS --checkpoint SEGMENT --out OUT", "labels"),
    "label maps' folder in the way": ("segment PAIRS --checkpoint SEGMENT --out BLOCKED", "below"),
    "a rival that is gone": ("segment PAIRS --checkpoint SEGMENT --compare GONE --out OUT", "gone"),
    "a manifest of no kind": ("data scan PAIRS --out OUT/a.json", "parquet"),
    "a manifest in the way": ("data scan PAIRS --out BLOCKED/a.csv", "below"),
    "pages' folder in the way": ("data extract PHOTO --out BLOCKED", "below"),
    "copies in the way": ("align PAIRS --use RIG --apply BLOCKED", "below"),
    "a rig's folder in the way": ("align PAIRS --rig --out BLOCKED", "below"),
    "a transform nobody knows": ("align PAIRS --rig --model rigid --out OUT", "rigid"),
    "a layout nobody knows": ("simulate --frames 1 --size 32x32 --layout voc --out OUT", "voc"),
    "a city in the way": ("simulate --frames 1 --size 32x32 --out BLOCKED", "below"),
    "a run's folder in the way": ("train RECIPE --data-root DATA --out BLOCKED", "below"),
    "data that is gone": ("train RECIPE --data-root GONE --out OUT", "street"),
    "results of another verb": ("evaluate RECIPE --data-root DATA --out OTHER", "results.json"),
    "a table's folder in the way": ("reproduce rsfnet --data-root DATA --out BLOCKED", "below"),
    "an export in the way": ("export mfnet --out BLOCKED/a.onnx", "below"),
}


@pytest.fixture
def run(at, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "results.json").write_text(json.dumps({"runs": []}))
    (tmp_path / "out").mkdir()
    words = {**at, "OUT": str(tmp_path / "out"), "OTHER": str(other), "GALLERY": str(tmp_path / "g")}

    def command(text: str) -> tuple[int, str]:
        arguments = []
        for long, short in SHORT.items():
            text = text.replace(short, long)
        for part in text.split():
            name, equals, value = part.partition("=")
            word, slash, rest = (value if equals else part).partition("/")
            arguments.append((f"{name}=" if equals else "") + words.get(word, word) + slash + rest)
        monkeypatch.setattr(sys, "argv", ["crossband", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0), capsys.readouterr().err

    return command


def no_work(patch: pytest.MonkeyPatch) -> None:
    def began(*_: object, **__: object) -> None:
        raise WorkBegan

    for place in WORK:
        module, _, name = place.partition(":")
        owner = importlib.import_module(module)
        *parents, last = name.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        patch.setattr(owner, last, began)


@pytest.mark.slow
@pytest.mark.parametrize("what", CASES)
def test_it_is_refused_in_one_sentence_before_any_work(run, monkeypatch, what):
    text, word = CASES[what]
    if "GALLERY" in text:
        assert run("index PAIRS --gallery GALLERY --model hog --size 64x64")[0] == 0
    no_work(monkeypatch)
    status, err = run(text)
    lines = [line for line in err.splitlines() if line.startswith("crossband: ")]
    assert status == 2, err
    assert len(lines) == 1
    assert word in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("reid PHOTO ASKED --out OUT", "cv2"),
        ("detect FLIGHT MODELED --out OUT", "cv2"),
    ],
)
def test_an_extra_that_is_missing_is_missed_before_any_work(run, monkeypatch, text, package):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a)
    )
    no_work(monkeypatch)
    status, err = run(text)
    assert status == 2
    assert package in err
    assert "pip install" in err


def test_a_radiometric_flight_whose_table_says_nothing_has_temperatures(tmp_path):
    from crossband.uav.flight import open_flight

    from .flir_file import radiometric_jpeg

    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg())
    (tmp_path / "flight.csv").write_text("file,lat,lon,altitude,heading,focal\na.jpg,48,9,50,0,100\n")
    flight = open_flight(tmp_path)
    flight.need_temperatures()
    assert 400 < flight.kelvin(0).mean() < 450  # the counts and constants of the file
