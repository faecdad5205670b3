"""A turned band and a narrow view are told from a few pairs; bands that agree are told nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from crossband.data.preprocess import Placement
from crossband.frames import Frames
from crossband.matching.placement import suggest_placement

pytestmark = pytest.mark.slow


def rig_of(folder: Path, pairs: list[tuple[Path, Path]], band: str, placed: Placement) -> Frames:
    """The pairs as a rig gives them whose second camera stands or sees otherwise."""
    folder.mkdir()
    rows = []
    for number, (first, second) in enumerate(pairs):
        PIL.Image.open(first).save(folder / f"{number}_rgb.png")
        PIL.Image.fromarray(placed(np.asarray(PIL.Image.open(second).convert("L")))).save(
            folder / f"{number}_{band}.png"
        )
        rows.append({"frame": str(number), "rgb": f"{number}_rgb.png", band: f"{number}_{band}.png"})
    return Frames.make(rows, folder)


@pytest.fixture(scope="module")
def scenes(shared):
    """Three pairs of RGB and near infrared: other bands and another camera than the thresholds were set on."""
    folder = shared / "data" / "epfl_nirscene" / "country"
    names = [f"{number:04d}" for number in (3, 15, 27)]
    return [(folder / f"{name}_rgb.jpg", folder / f"{name}_nir.jpg") for name in names]


@pytest.mark.shared
def test_bands_that_agree_are_told_nothing(scenes, tmp_path):
    assert suggest_placement(rig_of(tmp_path / "rig", scenes, "nir", Placement()), most=3) == []


@pytest.mark.shared
def test_a_band_that_stands_on_its_head_is_told_with_the_turn_that_mends_it(scenes, tmp_path):
    [told] = suggest_placement(rig_of(tmp_path / "rig", scenes, "nir", Placement("180")), most=3)
    assert (told.band.value, told.turn, told.view) == ("nir", "180", None)
    assert "nir=180" in str(told)


@pytest.mark.shared
def test_what_a_narrow_camera_sees_of_the_other_is_told(scenes, tmp_path):
    view = (0.1, 0.15, 0.7, 0.7)
    [told] = suggest_placement(rig_of(tmp_path / "rig", scenes, "nir", Placement("0", view)), most=3)
    assert (told.band.value, told.turn) == ("rgb", "0")
    assert told.view == pytest.approx(view, abs=0.06)


def test_one_band_or_too_few_pairs_or_a_view_that_is_kept_need_no_look(tmp_path):
    rows = [{"frame": str(i), "rgb": f"{i}.png", "tir": f"{i}.png"} for i in range(4)]
    frames = Frames.make(rows, tmp_path)  # no file is there: nothing may be read
    assert suggest_placement(frames.select([0, 1])) == []
    assert suggest_placement(frames.assign(view="rgb=0,0,0.5,0.5")) == []
    assert suggest_placement(Frames.make([{k: r[k] for k in ("frame", "rgb")} for r in rows], tmp_path)) == []
