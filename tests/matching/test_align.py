"""Two images are laid over each other to within a share of a percent, or it is said that they cannot be."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

cv2 = pytest.importorskip("cv2")

from crossband.errors import CrossbandError  # noqa: E402
from crossband.matching.align import Aligner, corner_error  # noqa: E402


def scene(seed: int, side: int = 360) -> np.ndarray:
    """Rectangles and disks of many sizes, gray in [0, 1]."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 0.5, np.float32)
    for i in range(160):
        x, y = rng.integers(0, side, 2).tolist()
        r, value = int(rng.integers(6, 60) * (1 - i / 220)) + 3, float(rng.random())
        if i % 2:
            cv2.circle(image, (x, y), r, value, -1)
        else:
            cv2.rectangle(image, (x, y), (x + r, y + int(r * rng.uniform(0.4, 2))), value, -1)
    return cv2.GaussianBlur(image, (0, 0), 1)


def save(path, image) -> None:
    PIL.Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner("affine")


@pytest.mark.slow
def test_another_band_that_was_moved_is_laid_over(aligner, tmp_path):
    image = scene(0)
    true = np.array([[1.05, 0.06, 4.0], [-0.06, 1.05, 14.0], [0, 0, 1]])
    other = cv2.warpAffine(1 - image**1.5, true[:2], (360, 360), borderMode=cv2.BORDER_REPLICATE)
    save(tmp_path / "a.png", image)
    save(tmp_path / "b.png", other)
    one, two = aligner.read(tmp_path / "a.png", "rgb"), aligner.read(tmp_path / "b.png", "nir")
    found = aligner.align(one, two)
    assert corner_error(found.matrix, true, one.size) < 0.01 * 360
    assert found.error_px < 0.02 * 360
    assert found.same_place > 0.5
    said = found.to_json()
    assert set(said) == {"matrix", "model", "inliers", "same_place", "error_px"}


def test_an_image_lies_on_itself(aligner, tmp_path):
    save(tmp_path / "a.png", scene(1))
    one = aligner.read(tmp_path / "a.png")
    assert corner_error(aligner.align(one, one).matrix, np.eye(3), one.size) < 0.5


@pytest.mark.slow
def test_other_scenes_blank_and_tiny_images_are_refused(aligner, tmp_path):
    images = {"one": scene(2), "other": scene(3), "blank": np.full((64, 64), 0.5), "tiny": scene(4)[:16, :16]}
    for name, image in images.items():
        save(tmp_path / f"{name}.png", image)
    one, other, blank = (aligner.read(tmp_path / f"{name}.png") for name in ("one", "other", "blank"))
    with pytest.raises(CrossbandError, match="same scene"):
        aligner.align(one, other)
    with pytest.raises(CrossbandError, match="blank"):
        aligner.align(one, blank)
    with pytest.raises(CrossbandError, match="16x16"):
        aligner.read(tmp_path / "tiny.png")
