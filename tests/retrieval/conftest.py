"""What the retrieval tests share: no network, a small size, and a set of pairs."""

from __future__ import annotations

import pytest

from crossband.datasets import open_frames
from crossband.frames import Frames
from crossband.retrieval import Descriptor, Options

SMALL = Options(size=(64, 64), device="cpu")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)


@pytest.fixture(scope="session")
def small() -> Options:
    """Images of 64x64, on the CPU."""
    return SMALL


@pytest.fixture(scope="session")
def hog() -> Descriptor:
    return Descriptor.load("hog", SMALL)


@pytest.fixture(scope="session")
def lite() -> Descriptor:
    """Real weights, from an installed package."""
    return Descriptor.load("efficientnet_lite0@blocks.4:avg+center", SMALL)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory, make_pairs) -> Frames:
    """Twelve frames in rgb, nir and tir. Not to be changed."""
    return open_frames(make_pairs(tmp_path_factory.mktemp("pairs"), n=12, bands=("rgb", "nir", "tir")))
