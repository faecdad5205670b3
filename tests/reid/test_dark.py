"""Images that show nothing but noise count only where a frame has nothing else."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from crossband.data.items import FrameItems
from crossband.data.preprocess import Preprocess
from crossband.frames import Frames
from crossband.models import create_streams
from crossband.reid.describe import describe_frames
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


def test_a_dark_image_does_not_change_the_sum_but_can_be_compared_alone(frames):
    torch.manual_seed(0)
    network, _ = create_streams(
        ["rgb", "tir"], 3, "cosine", "squeezenet1_1", layer="features.4", size=(32, 64), pretrained=False
    )
    items = FrameItems(frames, ["rgb", "tir"], Preprocess((32, 64)))
    plain, dark = (describe_frames(network, items, dark=level) for level in (0.0, 0.2))
    sums = [fuse(one.features, one.present, [0, 1])[0] for one in (plain, dark)]
    thermal = fuse(plain.features, plain.present, [1])[0]
    assert np.allclose(sums[0][0], sums[1][0])
    assert np.allclose(sums[1][1], thermal[1], atol=0.01)
    assert not np.allclose(sums[0][1], thermal[1], atol=0.01)
    alone = [fuse(one.features, one.present, [0])[0] for one in (plain, dark)]
    assert np.allclose(*alone, atol=1e-5)
    assert np.allclose(sums[0][2], sums[1][2], atol=1e-5)
