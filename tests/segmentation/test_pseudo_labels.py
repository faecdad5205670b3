"""Pseudo-labels: OpenCV's saliency and threshold, the right depth, and nothing computed twice."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

import crossband.segmentation.pseudo_labels
from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.segmentation.pseudo_labels import (
    fine_grained_saliency,
    otsu_mask,
    pseudo_label,
    pseudo_labels,
    to_byte,
)

from ..conftest import blobs

cv2 = pytest.importorskip("cv2", reason="pseudo-labels need OpenCV: crossband[train]")


def scene(seed: int = 0, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (np.stack([blobs(rng, size) for _ in range(3)], -1) * 255).round().astype(np.uint8)


def test_saliency_is_opencvs_of_the_colors_in_its_order():
    image = scene()
    detector = cv2.saliency.StaticSaliencyFineGrained_create()
    _, wanted = detector.computeSaliency(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    got = fine_grained_saliency(image)
    assert got.dtype == np.float32
    assert got.shape == image.shape[:2]
    assert np.array_equal(got, wanted)
    assert 0 <= got.min() <= got.max() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_maximizes_the_variance_between_classes(seed):
    levels = (fine_grained_saliency(scene(seed)) * 255).round().astype(np.uint8)
    flat = levels.reshape(-1).astype(float)
    between = [
        np.mean(flat > t) * np.mean(flat <= t) * (flat[flat > t].mean() - flat[flat <= t].mean()) ** 2
        if flat.min() <= t < flat.max()
        else 0.0
        for t in range(256)
    ]
    mask = otsu_mask(levels / np.float32(255))
    best = max(between)
    found = [t for t in range(256) if np.array_equal(mask, levels > t)]
    assert max(between[t] for t in found) == pytest.approx(best, rel=1e-6)


def test_deep_thermal_pixels_keep_their_contrast():
    """Two kelvin of centikelvin: the upper byte would hold one gray level."""
    rng = np.random.default_rng(0)
    kelvin = 290 + 2 * blobs(rng, (64, 48))
    deep = (kelvin * 100).round().astype(np.uint16)
    assert len(np.unique(deep >> 8)) <= 2
    levels = to_byte(deep, "tir")
    assert levels.dtype == np.uint8
    assert len(np.unique(levels)) > 50
    assert np.corrcoef(levels.reshape(-1), deep.reshape(-1))[0, 1] > 0.98
    eight = scene()
    assert to_byte(eight, "rgb") is eight


def test_a_pseudo_label_is_the_iou_with_what_is_labeled():
    image = scene(1)
    salient = otsu_mask(fine_grained_saliency(image))
    assert pseudo_label(image, salient.astype(np.uint8) * 3) == 1.0
    assert pseudo_label(image, (~salient).astype(np.uint8)) == 0.0
    assert pseudo_label(image, np.zeros(image.shape[:2], np.uint8)) == 0.0
    half = salient.astype(np.uint8)
    half[24:] = 255
    assert pseudo_label(image, half) == 1.0
    everything = np.ones(image.shape[:2], np.uint8)
    assert pseudo_label(image, everything) == pytest.approx(salient.mean())
    with pytest.raises(CrossbandError):
        pseudo_label(image, np.zeros((2, 2), np.uint8))


def test_boxed_counts_only_what_stands_out_inside_the_labels_boxes():
    image = scene(1)
    salient = otsu_mask(fine_grained_saliency(image))
    labels = np.zeros(salient.shape, np.uint8)
    labels[8:20, 8:24] = 1
    labels[12, 12] = 0  # a hole is inside its region's box
    labels[30:40, 40:44] = 2
    inside = np.zeros(salient.shape, bool)
    inside[8:20, 8:24] = inside[30:40, 40:44] = True
    shown = salient & inside
    wanted = (shown & (labels > 0)).sum() / (shown | (labels > 0)).sum()
    assert pseudo_label(image, labels, boxed=True) == pytest.approx(float(wanted))
    assert pseudo_label(image, labels, boxed=True) > pseudo_label(image, labels)


@pytest.fixture
def labeled(tmp_path) -> Frames:
    rows = []
    for i in range(3):
        image = scene(i)
        PIL.Image.fromarray(image).save(tmp_path / f"rgb{i}.png")
        PIL.Image.fromarray(image[..., 0].astype(np.uint16) + 29000).save(tmp_path / f"tir{i}.png")
        PIL.Image.fromarray((image[..., 1] > 128).astype(np.uint8)).save(tmp_path / f"labels{i}.png")
        rows.append({"frame": str(i), "rgb": f"rgb{i}.png", "tir": f"tir{i}.png", "labels": f"labels{i}.png"})
    rows[2]["tir"] = None
    return Frames.make(rows, tmp_path)


def test_pseudo_labels_are_computed_once_and_again_when_a_file_changes(labeled, monkeypatch):
    computed = []
    real = crossband.segmentation.pseudo_labels.pseudo_label
    monkeypatch.setattr(
        crossband.segmentation.pseudo_labels,
        "pseudo_label",
        lambda *a, **b: computed.append(1) or real(*a, **b),
    )
    first = pseudo_labels(labeled, [Band.RGB, Band.TIR])
    assert first.shape == (3, 2)
    assert np.isnan(first[2, 1])
    assert np.isfinite(first).sum() == len(computed) == 5
    assert np.array_equal(pseudo_labels(labeled, [Band.RGB, Band.TIR]), first, equal_nan=True)
    assert len(computed) == 5
    boxed = pseudo_labels(labeled, [Band.RGB, Band.TIR], boxed=True)
    assert len(computed) == 10  # another question, kept beside the first
    assert np.array_equal(pseudo_labels(labeled, [Band.RGB, Band.TIR], boxed=True), boxed, equal_nan=True)
    computed.clear()
    computed += [1] * 5
    PIL.Image.fromarray(np.ones((48, 64), np.uint8)).save(labeled.root / "labels0.png")
    again = pseudo_labels(labeled, [Band.RGB, Band.TIR])
    assert len(computed) == 7
    assert not np.array_equal(again[0], first[0])
    (labeled.root / ".crossband" / "pseudo_labels.json").write_text("[damaged")
    assert np.array_equal(pseudo_labels(labeled, [Band.RGB, Band.TIR]), again, equal_nan=True)
