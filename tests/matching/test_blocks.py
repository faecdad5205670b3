"""Blocks find a known transform below a pixel, choose its model, and say when they find nothing."""

from __future__ import annotations

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from crossband.matching.align import corner_error  # noqa: E402
from crossband.matching.blocks import edges, refined  # noqa: E402

from .test_align import scene  # noqa: E402

ALL = ("similarity", "affine", "homography")
SIMILARITY = np.array([[1.03, 0.05, -6.0], [-0.05, 1.03, 12.0], [0, 0, 1]])
AFFINE = np.array([[1.06, 0.03, -8.0], [-0.02, 0.95, 9.0], [0, 0, 1]])
HOMOGRAPHY = np.array([[1.02, 0.02, -5.0], [-0.01, 1.01, 4.0], [1.5e-4, -1e-4, 1]])


def laid(true: np.ndarray, start: np.ndarray, models=ALL):
    image = scene(5)
    other = cv2.warpPerspective(1 - image**1.5, true, (360, 360), borderMode=cv2.BORDER_REPLICATE)
    return refined(edges(image), edges(other), start, models)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("true", "model"), [(SIMILARITY, "similarity"), (AFFINE, "affine"), (HOMOGRAPHY, None)]
)
def test_a_known_transform_is_found_below_a_pixel_by_its_own_model(true, model):
    start = np.array([[1, 0, 0.0], [0, 1, 0], [0, 0, 1]]) if true is HOMOGRAPHY else true.copy()
    start[:2, 2] += 4, -3
    found = laid(true, start)
    assert corner_error(found.matrix, true, (360, 360)) < 1
    assert found.model == (model or "homography")
    assert found.share > 0.6
    assert found.deviation < 1


def test_only_the_models_that_are_asked_for_are_fitted():
    assert laid(AFFINE, AFFINE, ("similarity",)).model == "similarity"


def test_another_scene_has_no_blocks_in_common():
    found = refined(edges(scene(5)), edges(scene(6)), np.eye(3), ALL)
    assert found is None or found.share < 0.4


def test_a_blank_image_has_no_blocks():
    assert refined(edges(np.full((200, 200), 0.5, np.float32)), edges(scene(5)), np.eye(3), ALL) is None
