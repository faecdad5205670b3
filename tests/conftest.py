"""What several tests share: the real data where it is, and folders of correlated pairs made on the spot."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

# networks this small gain nothing from more threads, which wait in a loop for each other on a busy machine
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a test leaves nothing in the cache folder of whoever runs it
if "CROSSBAND_CACHE" not in os.environ:
    os.environ["CROSSBAND_CACHE"] = tempfile.mkdtemp(prefix="crossband-cache-")
    atexit.register(shutil.rmtree, os.environ["CROSSBAND_CACHE"], ignore_errors=True)

SHARED = Path(__file__).parents[2] / "shared"
MakePairs = Callable[..., Path]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights beside the repository; mark such tests ``shared``."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no ../shared/data: this test reads real images that the project does not redistribute")
    return SHARED


@pytest.fixture(scope="session")
def make_pairs() -> MakePairs:
    """``make_pairs(root, n, bands, size)`` writes ``root/BAND/0000.png``, ..., and returns ``root``."""
    return write_pairs


def write_pairs(
    root: Path,
    n: int = 4,
    bands: Sequence[str] = ("rgb", "tir"),
    size: tuple[int, int] = (64, 48),
    seed: int = 0,
) -> Path:
    """Write ``n`` frames of structured random images whose bands are correlated, as PNG.

    A frame is a smooth random scene of its own. ``rgb`` is 8-bit color of it, ``nir`` a brighter 8-bit
    gray, and ``tir`` 16-bit centikelvin that fall with the luminance and with a warmth that no color shows, so
    that it is no palette of the color; each has its own noise.

    Args:
        root: the folder, made where absent; one folder per band below it.
        n: number of frames.
        bands: of ``rgb``, ``nir`` and ``tir``.
        size: (width, height) in pixels.
        seed: the same seed gives the same files.
    """
    rng = np.random.default_rng(seed)
    for index in range(n):
        scene = np.stack([blobs(rng, size) for _ in range(3)], axis=-1)
        scene = 0.7 * scene[..., :1] + 0.3 * scene
        luminance = scene @ (0.299, 0.587, 0.114)
        warmth = blobs(np.random.default_rng((seed, index, 1)), size)
        pixels = {
            "rgb": _byte(scene + rng.normal(0, 0.02, scene.shape)),
            "nir": _byte(np.sqrt(luminance) + rng.normal(0, 0.02, luminance.shape)),
            "tir": (30900 - 2500 * luminance**1.5 - 900 * warmth + rng.normal(0, 25, luminance.shape)).astype(
                np.uint16
            ),
        }
        for band in bands:
            folder = root / band
            folder.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels[band]).save(folder / f"{index:04d}.png")
    return root


def blobs(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A smooth random field in [0, 1] with edges, ``(height, width)``."""
    coarse = PIL.Image.fromarray(rng.random((6, 8)).astype(np.float32))
    field = np.asarray(coarse.resize(size, PIL.Image.Resampling.BICUBIC), np.float64)
    field = (field - field.min()) / (field.max() - field.min())
    return 0.6 * field + 0.4 * (field > np.median(field))


def _byte(values: np.ndarray) -> np.ndarray:
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


from .street import recipe, street  # noqa: E402, F401  (fixtures)
