"""A rig is applied by whatever reads images, is kept by a manifest, and refuses images that are not its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from crossband.bands import Band
from crossband.data.preprocess import Placement, Preprocess
from crossband.data.reader import FrameReader
from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.io import Image
from crossband.retrieval import Options, benchmark, embed, index, search
from crossband.rigs import RigTransform

MOVED = ((1.0, 0.0, 6.0), (0.0, 1.0, 4.0), (0.0, 0.0, 1.0))
RIG = RigTransform(MOVED, Band.RGB, (48, 64), Band.TIR, (48, 64))
SMALL = Options(size=(64, 64), device="cpu")


@pytest.fixture
def frames(make_pairs, tmp_path) -> Frames:
    """Thermal images that lie 6 columns and 4 rows to the right and below."""
    root = make_pairs(tmp_path / "pairs", n=6)
    for path in (root / "tir").iterdir():
        pixels = np.asarray(PIL.Image.open(path))
        PIL.Image.fromarray(np.roll(pixels, (4, 6), (0, 1))).save(path)
    return open_frames(root)


def test_a_shift_is_undone_and_what_is_unknown_filled():
    image = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    found = RIG(image)
    assert found.dtype == np.uint16
    assert np.array_equal(found[:44, :58], image[4:, 6:])
    assert (RIG(image, unknown=0)[44:] == 0).all()
    assert found[46, 10] == pytest.approx(np.median(image), abs=64)


@pytest.mark.slow
def test_a_camera_of_fewer_pixels_is_enlarged_and_one_of_more_shrunk_without_flicker():
    matrix = ((0.25, 0, -0.375), (0, 0.25, -0.375), (0, 0, 1))
    small = RigTransform(matrix, Band.RGB, (480, 640), Band.TIR, (120, 160))
    ramp = np.add.outer(np.arange(120.0), np.arange(160.0)).astype(np.float32)
    x, y = np.arange(640) / 4 - 0.375, np.arange(480) / 4 - 0.375
    assert small(ramp)[8:-8, 8:-8] == pytest.approx(np.add.outer(y, x)[8:-8, 8:-8], abs=0.01)
    large = RigTransform(((8, 0, 3.5), (0, 8, 3.5), (0, 0, 1)), Band.TIR, (30, 40), Band.RGB, (240, 320))
    stripes = np.zeros((240, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(large(stripes).astype(int)[2:-2, 2:-2]) <= 12


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        '{"matrix": [[0,0,0],[0,0,0],[0,0,0]]}',
        json.dumps({**RIG.to_json(), "second": {"band": "tir", "size": [10**9, 2]}}),
        json.dumps({**RIG.to_json(), "second": {"band": "rgb", "size": [48, 64]}}),
        json.dumps({**RIG.to_json(), "matrix": [[1, 0, float("nan")], [0, 1, 0], [0, 0, 1]]}),
        "[" * 100000,
    ],
)
def test_what_is_no_rig_is_one_sentence(said, tmp_path):
    (tmp_path / "rig.json").write_text(said)
    with pytest.raises(CrossbandError, match=r"rig\.json is no rig"):
        RigTransform.read(tmp_path / "rig.json")
    with pytest.raises(CrossbandError, match="no rig"):
        Frames.make([{"frame": "a", "rgb": "a.png", "rig": said or "x"}], tmp_path)
    with pytest.raises(CrossbandError, match=r"there is no .*none\.json"):
        RigTransform.read(tmp_path / "none.json")


def test_a_manifest_keeps_it_as_parquet_and_csv(frames, tmp_path):
    given = frames.with_rig(RIG)
    for name in ("frames.parquet", "frames.csv"):
        again = Frames.read(given.write(frames.root / name))
        assert again.rig == RIG
    assert again.select([0, 2]).rig == RIG
    assert frames.rig is None
    mixed = again.assign(rig=[RIG.text, None] + [RIG.text] * 4)
    assert mixed.rigs()[1] is None
    with pytest.raises(CrossbandError, match="several rigs"):
        _ = mixed.rig
    with pytest.raises(CrossbandError, match="no tir"):
        Frames.make([{"frame": "a", "rgb": "a.png"}], tmp_path).with_rig(RIG)


def test_every_reader_of_frames_sees_the_aligned_image(frames):
    plain, aligned = FrameReader(frames), FrameReader(frames.with_rig(RIG))
    before, after = (reader.pixels(0, "tir") for reader in (plain, aligned))
    assert np.array_equal(after[:44, :58], before[4:, 6:])
    assert np.array_equal(plain.pixels(0, "rgb"), aligned.pixels(0, "rgb"))
    other = replace(RIG, second_size=(50, 64))
    with pytest.raises(CrossbandError, match="64x48") as refused:
        FrameReader(frames.with_rig(other)).pixels(0, "tir")
    assert "tir" in str(refused.value)


def test_a_preprocessing_says_its_rig_and_is_made_from_what_it_says():
    preprocess = Preprocess((32, 32), rig={Band.TIR: Placement("180")}).with_rig(RIG)
    again = Preprocess.from_description(json.loads(json.dumps(preprocess.describe())))
    assert again == preprocess
    assert again.transform == RIG
    image = Image(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))
    turned = replace(image, pixels=np.ascontiguousarray(RIG(image.pixels)[::-1, ::-1]))
    assert (Preprocess((32, 32)).unit(turned, Band.TIR) == preprocess.unit(image, Band.TIR)).all()


def test_a_descriptor_of_aligned_frames_is_that_of_aligned_copies(frames, tmp_path):
    from crossband.matching.rig import Rig

    rig = Rig(np.array(MOVED), "affine", (Band.RGB, (48, 64)), (Band.TIR, (48, 64)), ("a",), {}, 0.1, 0.1, True)
    assert Rig.read(rig.write(tmp_path / "rig.json")).transform == RIG
    given = {"store": tmp_path / "store", "options": SMALL}
    plain, on_the_fly = (embed(f, "hog", **given) for f in (frames, frames.with_rig(tmp_path / "rig.json")))
    rows = [one.bands[Band.TIR].pooled.rows(0, 6) for one in (plain, on_the_fly)]
    assert not np.allclose(*rows)
    assert on_the_fly.descriptor.preprocess.transform == RIG
    assert np.array_equal(*(one.bands[Band.RGB].pooled.rows(0, 6) for one in (plain, on_the_fly)))
    recall = [
        benchmark(f, ["hog"], "rgb", "tir", misaligned=False, **given).runs[0].recall["1"]
        for f in (frames, frames.with_rig(RIG))
    ]
    assert recall[1] >= recall[0]


@pytest.mark.slow
def test_a_gallery_keeps_the_rig_and_refuses_frames_of_another(frames, tmp_path):
    gallery = tmp_path / "gallery"
    index(frames.with_rig(RIG), gallery, "hog", ["tir"], options=SMALL)
    found = search(Path(frames.paths("rgb")[3]), gallery, 1, options=SMALL)
    thermal = search(Path(frames.paths("tir")[3]), gallery, 1, band="tir", options=SMALL)
    assert thermal[0].frame == "0003"
    assert thermal[0].distance == pytest.approx(0, abs=1e-3)
    assert found[0].distance > 0
    other = replace(RIG, matrix=((1, 0, 1), (0, 1, 0), (0, 0, 1)))
    with pytest.raises(CrossbandError, match="rig"):
        index(frames.with_rig(other), gallery, options=SMALL)
    index(frames, tmp_path / "plain", "hog", ["tir"], options=SMALL)
    with pytest.raises(CrossbandError, match="no rig"):
        index(frames.with_rig(RIG), tmp_path / "plain", options=SMALL)
