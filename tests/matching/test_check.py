"""Pairs that are none are found and named: other scenes, swapped partners, a stream that came late."""

from __future__ import annotations

import shutil

import numpy as np
import PIL.Image
import pytest

from crossband.datasets import open_frames
from crossband.matching.check import check_pairs, find_delay, find_wrong

from .test_align import scene


def correlations(n: int, right: float = 0.3, noise: float = 0.03, late: int = 0) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = rng.normal(0, noise, (n, n))
    rows = np.arange(max(0, -late), min(n, n - late))
    found[rows, rows + late] += right
    return found


@pytest.mark.parametrize("late", [-3, 0, 1, 7])
def test_a_constant_delay_is_counted_in_frames(late):
    found, fits, of = find_delay(correlations(40, late=late), np.zeros(40))
    assert found == late
    assert fits == of == (40 - abs(late) if late else 0)


def test_neighbors_that_look_alike_are_no_delay_and_neither_is_chance():
    n = 40
    walk = correlations(n)
    walk[np.arange(n - 1), np.arange(1, n)] += 0.28
    assert find_delay(walk, np.zeros(n))[0] == 0
    rng = np.random.default_rng(1)
    assert not any(find_delay(rng.normal(0, 0.03, (20, 20)), np.zeros(20))[0] for _ in range(50))


def test_a_delay_is_looked_for_within_sequences():
    late = correlations(40, late=1)
    sequences = np.repeat(np.arange(20), 2)
    assert find_delay(late, sequences) == (1, 20, 20)
    assert find_delay(late, np.arange(40)) == (0, 0, 0)


def test_swapped_pairs_and_other_scenes_are_told_apart():
    n = 20
    found = correlations(n)
    order = np.arange(n)
    order[[3, 9]] = 9, 3
    order[5] = 14
    found = found[:, order]
    probable = np.where(order == np.arange(n), 0.9, 0.05)
    wrong = {row: (instead, swapped) for row, instead, swapped in find_wrong(found, probable, np.arange(n))}
    assert wrong.pop(3) == (9, True)
    assert wrong.pop(9) == (3, True)
    assert wrong == {5: (None, False)}
    assert not list(find_wrong(correlations(n), np.full(n, 0.3), np.arange(n)))


def test_few_pairs_are_judged_by_their_probability_alone():
    assert list(find_wrong(np.eye(3), np.array([0.9, 0.05, 0.4]), np.arange(3))) == [(1, None, False)]


@pytest.mark.slow
def test_three_wrong_pairs_of_twelve_are_listed(tmp_path):
    for band in ("rgb", "tir"):
        (tmp_path / band).mkdir()
    for i in range(12):
        image = scene(i, 200)
        for band, pixels in (("rgb", image), ("tir", 1 - image**1.5)):
            PIL.Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).save(
                tmp_path / band / f"{i:02}.png"
            )
    (clean,) = check_pairs(open_frames(tmp_path))
    assert not clean.faults
    assert clean.frames == 12
    tir = tmp_path / "tir"
    shutil.move(tir / "02.png", tmp_path / "two")
    shutil.move(tir / "07.png", tir / "02.png")
    shutil.move(tmp_path / "two", tir / "07.png")
    PIL.Image.fromarray((scene(99, 200) * 255).astype(np.uint8)).save(tir / "10.png")
    (found,) = check_pairs(open_frames(tmp_path))
    assert {(fault.frame, fault.kind) for fault in found.faults} == {
        ("02", "swapped"),
        ("07", "swapped"),
        ("10", "other scene"),
    }
    assert found.to_json()["delay"] == 0


@pytest.mark.shared
@pytest.mark.slow
def test_llvip_with_a_recording_that_began_a_frame_late(shared, tmp_path):
    source = shared / "data" / "llvip_sample"
    names = sorted(path.name for path in (source / "Train_LLVIP_vi").iterdir())[:16]
    for band, folder in (("visible", "vi"), ("infrared", "ir")):
        (tmp_path / band).mkdir()
        for shown, taken in zip(names, names[1:] if folder == "ir" else names, strict=False):
            shutil.copy(source / f"Train_LLVIP_{folder}" / taken, tmp_path / band / shown)
    (found,) = check_pairs(open_frames(tmp_path))
    assert found.delay == -1
    assert found.faults[0].kind == "delay"
    assert f"{found.delayed} of {found.comparable} frames" in found.faults[0].reason
