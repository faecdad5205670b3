"""How much each image of a frame counts: dark ones, bands that say less, and mirror images."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from crossband.data.items import FrameItems
from crossband.data.preprocess import Preprocess
from crossband.frames import Frames
from crossband.models import create_streams
from crossband.models.streams import Streams
from crossband.reid.describe import Emphasis, describe_frames
from crossband.reid.evaluation import fuse


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    """One frame by day, one whose RGB is noise with a lamp in it, one that has nothing but such RGB."""
    rng = np.random.default_rng(0)
    for name, most in (("day", 255), ("night", 40)):
        pixels = rng.integers(0, most, (32, 64, 3), np.uint8)
        pixels[:4, :6] = 255
        PIL.Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    warm = rng.integers(29000, 29100, (32, 64)).astype(np.uint16)
    PIL.Image.fromarray(warm).save(tmp_path / "tir.png")
    rows = [
        {"frame": "day", "rgb": "day.png", "tir": "tir.png"},
        {"frame": "night", "rgb": "night.png", "tir": "tir.png"},
        {"frame": "rgb alone", "rgb": "night.png"},
    ]
    return Frames.make(rows, tmp_path)


def read(frames: Frames) -> tuple[Streams, FrameItems]:
    torch.manual_seed(0)
    network, _ = create_streams(
        ["rgb", "tir"], 3, "cosine", "squeezenet1_1", layer="features.4", size=(32, 64), pretrained=False
    )
    return network, FrameItems(frames, ["rgb", "tir"], Preprocess((32, 64)))


def test_a_dark_image_does_not_change_the_sum_but_can_be_compared_alone(frames):
    network, items = read(frames)
    plain, dark = (describe_frames(network, items, emphasis=Emphasis(dark=level)) for level in (0.0, 0.2))
    sums = [fuse(one.features, one.present, [0, 1])[0] for one in (plain, dark)]
    thermal = fuse(plain.features, plain.present, [1])[0]
    assert np.allclose(sums[0][0], sums[1][0])
    assert np.allclose(sums[1][1], thermal[1], atol=0.01)
    assert not np.allclose(sums[0][1], thermal[1], atol=0.01)
    alone = [fuse(one.features, one.present, [0])[0] for one in (plain, dark)]
    assert np.allclose(*alone, atol=1e-5)
    assert np.allclose(sums[0][2], sums[1][2], atol=1e-5)


def test_a_band_counts_as_much_as_its_weight_and_alone_as_ever(frames):
    network, items = read(frames)
    plain = describe_frames(network, items)
    weighed = describe_frames(network, items, emphasis=Emphasis(weights={"tir": 0.3}))
    by_hand = plain.features[:, 0] + 0.3 * plain.features[:, 1] * plain.present[:, 1:]
    by_hand /= np.linalg.norm(by_hand, axis=1, keepdims=True)
    assert np.allclose(fuse(weighed.features, weighed.present, [0, 1])[0], by_hand, atol=1e-5)
    alone = [fuse(one.features, one.present, [1])[0] for one in (plain, weighed)]
    assert np.allclose(*alone, atol=1e-5)


def test_with_mirror_images_a_frame_and_its_mirror_image_are_alike(frames, tmp_path):
    for name in ("day", "tir"):
        PIL.Image.open(tmp_path / f"{name}.png").transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT).save(
            tmp_path / f"{name}_turned.png"
        )
    turned = Frames.make([{"frame": "a", "rgb": "day_turned.png", "tir": "tir_turned.png"}], tmp_path)
    network, items = read(frames)
    other = FrameItems(turned, items.bands, items.preprocess)
    plain = [describe_frames(network, each).features[0] for each in (items, other)]
    mirrored = [
        describe_frames(network, each, emphasis=Emphasis(mirror=True)).features[0] for each in (items, other)
    ]
    assert not np.allclose(*plain, atol=1e-3)
    assert np.allclose(*mirrored, atol=1e-4)


@pytest.mark.parametrize("weights", [None, ["rgb"], {"nir": "x"}, {"nir": -1.0}, {"tir": float("nan")}])
def test_weights_that_are_no_positive_numbers_are_refused(weights):
    with pytest.raises(ValueError, match="positive numbers"):
        Emphasis.of({"weights": weights})


def test_a_dark_image_counts_less_than_the_lightest_band(frames):
    network, items = read(frames)
    plain = describe_frames(network, items)
    faint = describe_frames(network, items, emphasis=Emphasis(dark=0.2, weights={"tir": 0.0005}))
    thermal = fuse(plain.features, plain.present, [1])[0]
    assert np.allclose(fuse(faint.features, faint.present, [0, 1])[0][1], thermal[1], atol=0.01)


def test_scoring_of_an_older_checkpoint_says_less():
    assert Emphasis.of({"descriptor": "features"}) == Emphasis()
    assert Emphasis.of({"dark": 0.2, "weights": {"nir": 0.5}}).weights == {"nir": 0.5}
