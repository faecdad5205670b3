"""From a checkpoint to label maps, overlays, curves and ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch

from crossband.bands import BANDS, Band
from crossband.checkpoints import write_checkpoint
from crossband.data.preprocess import Preprocess, Statistics
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.io import read_labels
from crossband.models import create_segmenter
from crossband.segmentation import load_segmenter, segment, segmentation_robustness
from crossband.segmentation.classes import palette
from crossband.segmentation.figure import overlay
from crossband.segmentation.robustness import DISTURBANCES, disturb

from ..conftest import write_pairs

CLASSES = ["nothing", "car", "person"]


def checkpoint_of(
    path: Path, bands: tuple[str, ...] = ("rgb", "tir"), classes: list[str] = CLASSES, **options: object
) -> Path:
    """A checkpoint of a network that nobody trained."""
    torch.manual_seed(0)
    name = "mfnet" if len(bands) > 1 and not options else "rsfnet"
    small = {"first": "timm/test_resnet", "second": "timm/test_resnet", "widths": [8, 8, 8, 8], "reduced": 4}
    given = {} if name == "mfnet" else {**small, **options}
    network = create_segmenter(name, len(classes), bands, options=given)
    for key, parameter in network.named_parameters():
        if key.endswith("bias"):
            parameter.data.zero_()  # else one class is everywhere
    unit = Statistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    preprocess = Preprocess((48, 64), dict.fromkeys(BANDS, unit))
    metadata = {
        "recipe": {"task": "segmentation", "model": {"name": name, "options": given, "pretrained": False}},
        "classes": classes,
        "bands": list(bands),
        "preprocess": preprocess.describe(),
    }
    return write_checkpoint(path, network, metadata)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return checkpoint_of(tmp_path / "best.safetensors")


@pytest.fixture
def labeled(tmp_path) -> Frames:
    root = write_pairs(tmp_path / "pairs", 4, size=(80, 60))
    (root / "labels").mkdir()
    rng, rows = np.random.default_rng(0), []
    for i in range(4):
        PIL.Image.fromarray(rng.integers(0, 3, (60, 80), np.uint8)).save(root / "labels" / f"{i}.png")
        rows.append(
            {
                "frame": str(i),
                "rgb": f"rgb/{i:04d}.png",
                "tir": f"tir/{i:04d}.png",
                "labels": f"labels/{i}.png",
                "condition": "night" if i % 2 else "day",
            }
        )
    return Frames.make(rows, root)


def test_a_folder_of_pairs_becomes_label_maps_of_the_images_size(checkpoint, labeled, tmp_path):
    found = segment([labeled.root], checkpoint, tmp_path / "out", without=["tir"])
    assert len(found) == 4
    for one in found:
        labels = read_labels(one.labels)
        assert labels.shape == (60, 80)
        shares = {name: 100 * float((labels == i).mean()) for i, name in enumerate(CLASSES)}
        assert one.shares == pytest.approx(shares)
        assert sum(one.without["tir"].values()) == pytest.approx(100)
        assert PIL.Image.open(one.overlay).size[0] > 900
    written = json.loads((tmp_path / "out" / "segments.json").read_text())
    assert written == [one.to_dict() for one in found]


def test_a_picture_is_taken_with_its_thermal_image_or_without(checkpoint, labeled, tmp_path, capsys):
    picture = labeled.root / "rgb" / "0000.png"
    both = segment([picture], checkpoint, tmp_path / "a", tir=labeled.root / "tir")
    same = segment([picture], checkpoint, tmp_path / "b", tir=labeled.root / "tir" / "0000.png")
    assert both[0].shares == same[0].shares
    capsys.readouterr()
    alone = segment(str(picture), checkpoint, tmp_path / "c")  # one path is one picture, not its letters
    assert "some frames have no tir; it is read as black" in capsys.readouterr().err
    assert alone[0].shares != both[0].shares
    rgba = np.dstack([np.asarray(PIL.Image.open(picture)), np.arange(60 * 80).reshape(60, 80) % 251]).astype(
        np.uint8
    )
    PIL.Image.fromarray(rgba).save(tmp_path / "whole.png")
    segment([tmp_path / "whole.png"], checkpoint, tmp_path / "d")
    assert "some frames have no" not in capsys.readouterr().err


@pytest.mark.slow
def test_several_networks_answers_stand_side_by_side_with_the_truth(checkpoint, labeled, tmp_path):
    other = checkpoint_of(tmp_path / "other.safetensors", fusion="sum")
    manifest = labeled.write(labeled.root / "frames.parquet")
    found = segment([manifest], checkpoint, tmp_path / "out", compare={"sum": other, "again": checkpoint})
    sheets = sorted((tmp_path / "out").glob("*_compared.png"))
    assert len(sheets) == len(found) == 4
    picture = np.asarray(PIL.Image.open(sheets[0]).convert("RGB"))
    tiles = tile_colors(picture, 6)  # rgb, tir, labels, and three answers
    assert np.array_equal(tiles[3], tiles[5])  # the same network twice
    truth = read_labels(labeled.root / "labels" / "0.png")
    assert {tuple(c) for c in tiles[2].reshape(-1, 3)} == {tuple(palette(CLASSES)[n]) for n in np.unique(truth)}
    wrong = checkpoint_of(tmp_path / "wrong.safetensors", classes=["nothing", "else", "there"])
    with pytest.raises(CrossbandError, match="other classes"):
        segment([labeled.root], checkpoint, tmp_path / "o", compare={"wrong": wrong})


def tile_colors(sheet: np.ndarray, n: int) -> list[np.ndarray]:
    """The tiles of a sheet of two rows, as reports.overlays lays them out: 480 wide, 8 apart, 26 for the
    caption."""
    columns, tall = n // 2, 360
    return [
        sheet[8 + row * (tall + 34) : 8 + row * (tall + 34) + tall, 8 + column * 488 : 488 + column * 488]
        for row in range(2)
        for column in range(columns)
    ]


def test_what_is_wrong_is_named(checkpoint, labeled, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CrossbandError, match="has no image called 0001"):
        segment([labeled.root / "rgb" / "0001.png"], checkpoint, tmp_path / "o", tir=tmp_path / "empty")
    with pytest.raises(CrossbandError, match="two frames are called 0000"):
        segment([labeled.root / b / "0000.png" for b in ("rgb", "tir")], checkpoint, tmp_path / "o")
    network = torch.nn.Linear(1, 1)
    other = write_checkpoint(tmp_path / "other.safetensors", network, {"recipe": {"task": "places"}})
    with pytest.raises(CrossbandError, match="is a checkpoint of the task places, not segmentation"):
        load_segmenter(other)


@pytest.mark.slow
def test_a_loaded_network_is_the_deployed_form_of_the_trained_one(tmp_path):
    path = checkpoint_of(tmp_path / "a.safetensors", multi_branch=True)
    loaded = load_segmenter(path)
    network = create_segmenter("rsfnet", 3, options=json.loads(json.dumps(loaded_options())))
    from crossband.checkpoints import load_network

    load_network(path, network)
    x = torch.rand(1, 4, 48, 64)
    with torch.inference_mode():
        assert torch.allclose(loaded.network(x), network.eval()(x), atol=1e-5)


def loaded_options() -> dict[str, object]:
    small = {"first": "timm/test_resnet", "second": "timm/test_resnet", "widths": [8, 8, 8, 8], "reduced": 4}
    return {**small, "multi_branch": True}


def test_an_overlay_colors_what_is_labeled_and_nothing_else():
    pixels = np.full((6, 8, 3), 100, np.uint8)
    labels = np.zeros((6, 8), np.uint8)
    labels[2:5, 3:7] = 1
    drawn = overlay(pixels, labels, CLASSES)
    assert (drawn[labels == 0] == 100).all()
    inner = drawn[3, 4].astype(int)
    color = palette(CLASSES)[1].astype(int)
    assert np.abs(inner - (0.45 * 100 + 0.55 * color)).max() <= 1
    assert (drawn[2, 3] == color).all()  # the outline


def test_disturbances_touch_only_their_band():
    frame, bands = torch.rand(4, 20, 24), (Band.RGB, Band.TIR)
    assert torch.equal(disturb(frame, bands, "rgb light", 0.5), torch.cat([0.5 * frame[:3], frame[3:]]))
    assert torch.equal(disturb(frame, bands, "tir contrast", 0.0)[:3], frame[:3])
    assert float(disturb(frame, bands, "tir contrast", 0.0)[3:].abs().max()) == 0
    moved = disturb(frame, bands, "shift", 4.0)
    assert torch.equal(moved[:3], frame[:3])
    assert torch.equal(moved[3, 2:, 4:], frame[3, :-2, :-4])


def test_fog_takes_the_contrast_of_far_things_and_less_of_thermal():
    frame, bands = torch.rand(4, 20, 24), (Band.RGB, Band.TIR)
    depth = torch.full((20, 24), 5.0)
    depth[:, 12:] = 100.0
    foggy = disturb(frame, bands, "fog", 100.0, depth)
    near, far = (foggy[0][:, part].std() / frame[0][:, part].std() for part in (slice(0, 12), slice(12, 24)))
    assert float(far) == pytest.approx(0.02, rel=0.02)  # the definition of the meteorological range
    assert float(near) == pytest.approx(0.02 ** (5 / 100), rel=0.02)
    assert float(foggy[3, :, 12:].std() / frame[3, :, 12:].std()) > 5 * float(far)


@pytest.mark.slow
def test_curves_hold_every_disturbance_by_day_and_night(checkpoint, labeled, tmp_path):
    alone = checkpoint_of(tmp_path / "tir.safetensors", ("tir",))
    curve = segmentation_robustness(labeled, {"both": checkpoint, "tir": alone})
    points = curve.points
    amounts = sum(len(a) for a in DISTURBANCES.values())
    assert len(points) == 2 * 3 * amounts
    unmoved = points[(points["model"] == "tir") & points["kind"].isin(["rgb light", "shift"])]
    assert (unmoved.groupby("condition")["miou"].nunique() == 1).all()
    folder = curve.report(tmp_path / "curves")
    assert PIL.Image.open(folder / "segmentation_robustness.png").size[0] > 1000
    assert len(pd.read_csv(tmp_path / "curves" / "segmentation_robustness.csv")) == len(points)
