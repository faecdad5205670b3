"""One transform for two cameras: pairs that are wrong do not move it, and a rig that is none is said."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("cv2")

from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.matching.align import Registration, corner_error
from crossband.matching.rig import Rig, _common

SIZE, OTHER = (240, 320), (120, 160)
TRUE = np.array([[0.5, 0.01, 3], [-0.01, 0.49, -2], [1e-5, 0, 1]])


def registrations(n: int, wrong: int, noise: float, seed: int = 0) -> dict[str, Registration]:
    rng = np.random.default_rng(seed)
    found = {}
    for i in range(n):
        matrix = TRUE.copy()
        matrix[:2, 2] += rng.normal(0, noise, 2) + (40 * (1 + i) if i < wrong else 0)
        found[f"pair{i}"] = Registration(matrix, "homography", 90, 0.99, noise, True, np.zeros((0, 4)))
    return found


def common(found, model="homography") -> Rig:
    return _common(found, {}, model, (Band.RGB, SIZE), (Band.TIR, OTHER))


@pytest.mark.parametrize("model", ["homography", "affine"])
def test_three_wrong_pairs_of_twenty_are_named_and_do_not_move_the_rig(model):
    rig = common(registrations(20, 3, 0.3), model)
    assert set(rig.left_out) == {"pair0", "pair1", "pair2"}
    assert len(rig.pairs) == 17
    assert corner_error(rig.matrix, TRUE, SIZE) < 0.005 * max(OTHER)
    assert rig.one_transform


def test_pairs_that_disagree_by_more_than_they_are_unsure_have_no_one_transform(capsys):
    found = {
        name: Registration(one.matrix, one.model, one.inliers, 0.99, 0.2, True, one.matches)
        for name, one in registrations(20, 0, 6.0).items()
    }
    assert not common(found).one_transform
    assert "parallax" in capsys.readouterr().err


def test_pairs_without_a_common_transform_are_no_rig():
    rng = np.random.default_rng(0)
    found = {}
    for i in range(10):
        matrix = TRUE.copy()
        matrix[:2, 2] += (i % 2) * 90 + rng.normal(0, 0.1, 2)
        found[f"{i}"] = Registration(matrix, "affine", 50, 0.9, 0.2, True, np.zeros((0, 4)))
    assert not common(found).one_transform


def test_a_rig_is_read_as_written_and_anything_else_refused(tmp_path):
    rig = common(registrations(5, 0, 0.1))
    again = Rig.read(rig.write(tmp_path / "rig.json"))
    assert again.to_json() == rig.to_json()
    said = rig.to_json()
    for key, value in (
        ("matrix", [[0] * 3] * 3),
        ("model", "spline"),
        ("second", {"band": "x", "size": [1, 1]}),
    ):
        (tmp_path / "bad.json").write_text(json.dumps({**said, key: value}))
        with pytest.raises(CrossbandError, match=r"bad\.json"):
            Rig.read(tmp_path / "bad.json")


def test_a_warp_lays_the_second_image_onto_the_first():
    rig = common(registrations(5, 0, 0.0))
    _, columns = np.mgrid[: OTHER[0], : OTHER[1]]
    warped = rig.warp(columns.astype(np.float32), Band.TIR)
    assert warped.shape == SIZE
    x, _, w = TRUE @ (100, 80, 1)
    assert warped[80, 100] == pytest.approx(x / w, abs=0.1)
    with pytest.raises(CrossbandError, match="160x120"):
        rig.warp(np.zeros((10, 10), np.uint8), Band.TIR)
