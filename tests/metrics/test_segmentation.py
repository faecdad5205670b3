"""One confusion matrix, against scikit-learn, and what each protocol makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as reference_matrix
from sklearn.metrics import jaccard_score, recall_score

from crossband.errors import CrossbandError
from crossband.metrics.segmentation import confusion_matrix, score_confusion, score_interval


def random_maps(seed: int, classes: int = 5, n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, (n, 8, 9), p=rng.dirichlet(np.ones(classes)))
    noise = rng.random(labels.shape) < 0.4
    return np.where(noise, rng.integers(0, classes, labels.shape), labels), labels


@pytest.mark.parametrize("seed", range(5))
def test_every_figure_is_scikit_learns(seed):
    predicted, labels = random_maps(seed)
    matrix = confusion_matrix(predicted, labels, 5)
    flat = labels.reshape(-1), predicted.reshape(-1)
    assert np.array_equal(matrix, reference_matrix(*flat, labels=range(5)))
    scores = score_confusion(matrix)
    assert np.allclose(scores.iou, 100 * jaccard_score(*flat, average=None, labels=range(5)))
    assert np.allclose(scores.accuracy, 100 * recall_score(*flat, average=None, labels=range(5)))
    assert scores.miou == pytest.approx(100 * jaccard_score(*flat, average="macro"))
    assert scores.pixel_accuracy == pytest.approx(100 * float(np.mean(labels == predicted)))


def test_the_set_is_scored_as_a_whole_not_image_by_image():
    """A class that is on one image only: means of images would count the other's absence as right."""
    labels = np.array([[[0, 0, 0, 1]], [[0, 0, 0, 0]]])
    predicted = np.array([[[0, 0, 0, 0]], [[0, 0, 0, 0]]])
    whole = score_confusion(confusion_matrix(predicted, labels, 2))
    assert whole.iou == pytest.approx((700 / 8, 0.0))
    assert whole.miou == pytest.approx(43.75)


def test_protocols_differ_in_absent_classes_and_background():
    matrix = np.array([[90, 10, 0], [0, 50, 0], [0, 0, 0]])
    present, rtfnet, objects = (score_confusion(matrix, name) for name in ("present", "rtfnet", "objects"))
    iou = (90.0, 100 * 50 / 60)
    assert present.miou == pytest.approx(sum(iou) / 2)
    assert rtfnet.miou == pytest.approx(sum(iou) / 3)
    assert objects.miou == pytest.approx(iou[1])
    assert np.isnan(present.iou[2])
    assert present.to_dict(["a", "b", "c"])["iou"]["c"] is None


def test_ignored_pixels_count_nowhere_and_foreign_classes_are_refused():
    labels = np.array([[0, 255], [1, 1]])
    assert confusion_matrix(np.array([[0, 1], [1, 0]]), labels, 2).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(CrossbandError):
        confusion_matrix(np.zeros((1, 1), int), np.array([[9]]), 2)
    with pytest.raises(CrossbandError):
        confusion_matrix(np.zeros((1, 2), int), np.zeros((2, 1), int), 2)


def test_intervals_draw_whole_groups():
    """Ten copies of each frame in its sequence leave the interval as it is."""
    predicted, labels = random_maps(3)
    each = np.stack([confusion_matrix(p, t, 5) for p, t in zip(predicted, labels, strict=True)])
    single = score_interval(each, range(len(each)))
    copied = score_interval(np.repeat(each, 10, 0), np.repeat(np.arange(len(each)), 10))
    assert copied["miou"] == pytest.approx(single["miou"])
    apart = score_interval(np.repeat(each, 10, 0), range(10 * len(each)))
    assert apart["miou"][1] - apart["miou"][0] < 0.6 * (single["miou"][1] - single["miou"][0])
    middle = score_confusion(each.sum(0)).miou
    assert single["miou"][0] < middle < single["miou"][1]
