"""One transform for two cameras: pairs that are wrong do not move it, and a rig that is none is said."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("cv2")

from crossband.bands import Band
from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.matching.align import Aligner, Registration, corner_error, corners
from crossband.matching.residuals import Residuals
from crossband.matching.rig import Rig, _common, fit_rig
from crossband.simulation import simulate

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


class Known(Aligner):
    """Registers by what the file is called: no network, and noise like a real one's."""

    def __init__(self, wrong: tuple[str, ...] = (), parallax: float = 0.0) -> None:
        self.model, self._wrong, self._parallax = "homography", wrong, parallax

    def align(self, first, second):
        name = first.name.rsplit("/", 1)[-1]
        rng = np.random.default_rng(int(name[:2]))
        if any(float(np.ptp(one.gray)) < 1 / 255 for one in (first, second)):
            raise CrossbandError(f"{first.name} is blank")
        matrix = TRUE.copy()
        matrix[:2, 2] += rng.normal(0, 0.1, 2) + (50 if name in self._wrong else 0)
        return Registration(matrix, "homography", 200, 0.99, 0.3, True, np.empty((0, 4)))

    def located(self, first, second, matrix):
        rng = np.random.default_rng(0)
        where = rng.uniform((0, 0), (SIZE[1], SIZE[0]), (200, 2))
        moved = np.concatenate([where, np.ones((200, 1))], 1) @ matrix.T
        there = moved[:, :2] / moved[:, 2:] + rng.normal(0, 0.3, (200, 2))
        there[:, 0] += self._parallax * np.where(where[:, 1] > SIZE[0] / 2, 1, -1) * rng.random(200)
        return np.concatenate([where, there], 1)


def folder(root, n: int) -> Frames:
    """Pairs of structure and noise, of the two cameras' sizes."""
    rng = np.random.default_rng(0)
    for band, (height, width) in (("rgb", SIZE), ("tir", OTHER)):
        (root / band).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 255, (height // 8, width // 8), np.uint8)
            picture = PIL.Image.fromarray(pixels).resize((width, height), PIL.Image.Resampling.BICUBIC)
            picture.save(root / band / f"{i:02}.png")
    return open_frames(root)


@pytest.mark.slow
def test_a_folder_with_wrong_blank_tiny_and_identical_pairs_names_each(tmp_path):
    folder(tmp_path, 20)
    PIL.Image.new("L", (160, 120), 90).save(tmp_path / "tir" / "03.png")
    PIL.Image.new("L", (16, 16)).save(tmp_path / "rgb" / "04.png")
    (tmp_path / "tir" / "05.png").write_bytes((tmp_path / "rgb" / "05.png").read_bytes())
    PIL.Image.open(tmp_path / "tir" / "06.png").resize((80, 60)).save(tmp_path / "tir" / "06.png")
    fit = fit_rig(open_frames(tmp_path), aligner=Known(("00.png", "01.png", "02.png")))
    assert set(fit.rig.left_out) == {f"{i:02}" for i in range(7)}
    for name, word in (("00", "from the others"), ("05", "one picture"), ("06", "80x60")):
        assert word in fit.rig.left_out[name]
    assert corner_error(fit.rig.matrix, TRUE, SIZE) < 0.005 * max(OTHER)
    assert fit.rig.one_transform


def test_one_band_twice_is_no_rig(tmp_path):
    folder(tmp_path, 4)
    for path in (tmp_path / "tir").iterdir():
        path.write_bytes((tmp_path / "rgb" / path.name).read_bytes())
    with pytest.raises(CrossbandError, match="only 0 of 4 pairs"):
        fit_rig(open_frames(tmp_path), aligner=Known())


@pytest.mark.slow
def test_parallax_is_said_and_depth_shown(tmp_path, capsys):
    frames = folder(tmp_path / "set", 8)
    near = fit_rig(frames, aligner=Known(parallax=6.0))
    assert not near.rig.one_transform
    assert near.rig.parallax_px > near.residuals.noise_px
    assert "parallax" in capsys.readouterr().err
    assert abs(near.residuals.direction[0]) > 0.95
    assert near.residuals.trend_px > 2
    flat = fit_rig(frames, aligner=Known())
    assert flat.rig.one_transform
    page = near.report(tmp_path / "out").read_text()
    assert "does not explain" in page
    assert "http" not in page.replace("http-equiv", "")
    assert json.loads((tmp_path / "out" / "rig.json").read_text())["parallax_px"] == near.rig.parallax_px
    assert "explains the pairs" in flat.report(tmp_path / "flat").read_text()


def test_residuals_follow_depth_where_it_is_known():
    rng = np.random.default_rng(0)
    where = rng.uniform(0, 99, (3000, 2))
    meters = np.tile(np.geomspace(4, 50, 100), (100, 1))
    x, y = np.rint(where).astype(int).T
    there = where + rng.normal(0, 0.3, where.shape)
    there[:, 0] += 20 / meters[y, x]
    found = Residuals.of(np.eye(3), [np.concatenate([where, there], 1)], 100, {0: meters})
    bins = found.by_depth()
    assert bins[0].label.endswith("m")
    assert found.trend_px == pytest.approx(20 / 5.1 - 20 / 39, abs=0.4)  # the medians of the outer bins
    assert found.noise_px == pytest.approx(0.3, abs=0.1)


def test_copies_keep_depth_of_color_places_and_names(tmp_path):
    frames = folder(tmp_path / "set", 3).assign(place=["a", "b", "c"], own="x")
    rig = common(registrations(5, 0, 0.0))
    out = rig.apply(frames, tmp_path / "out")
    assert out.table["place"].tolist() == ["a", "b", "c"]
    assert PIL.Image.open(out.paths("tir")[0]).size == (SIZE[1], SIZE[0])
    assert corners(SIZE).shape == (4, 2)
    assert Frames.read(tmp_path / "out" / "frames.parquet").names == frames.names


@pytest.mark.slow
@pytest.mark.parametrize(("apart", "one"), [(0.0, True), (0.12, False)])
def test_cameras_side_by_side_in_the_city_have_parallax_and_those_in_one_place_none(tmp_path, apart, one):
    frames = simulate("driving", 3, (256, 320), 5, tmp_path, workers=1, baseline=apart, samples=1)
    fit = fit_rig(frames, "homography", "rgb", "tir")
    assert fit.rig.one_transform == one
    assert (fit.residuals.parallax_px > 2 * fit.residuals.noise_px) != one
