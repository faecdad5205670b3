"""What the metrics say when they cannot measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossband.frames import Frames
from crossband.metrics.centroid import centroid_condition
from crossband.metrics.cka import cka_from_grams, linear_cka
from crossband.metrics.detection import score_detections
from crossband.metrics.fcm import fraction_of_correct_matches, near_mask, score_matches
from crossband.metrics.gap import modality_gap
from crossband.metrics.hubness import hubness
from crossband.metrics.protocol import Protocol
from crossband.metrics.ranking import Ranks, cmc, recall_at
from crossband.metrics.reid import ReidLabels, reid_labels, score_reid
from crossband.metrics.resampling import bootstrap_interval, paired_test
from crossband.metrics.segmentation import confusion_matrix, score_confusion

from ..messages import assert_says

NO_BOX = np.zeros((0, 6))
ONE = ReidLabels(*(np.array([0]),) * 4)


def frames(n: int, **columns: object) -> Frames:
    """``n`` frames without files."""
    return Frames.make([{"frame": str(i), "rgb": f"{i}.png"} for i in range(n)], Path()).assign(**columns)


def check(protocol: str, *, same_band: bool = False, **columns: object) -> None:
    Protocol.parse(protocol).check(frames(2, **columns), same_band=same_band)


MESSAGES = {
    "ranking, recall": (
        lambda: recall_at(Ranks(np.zeros(3, int)), 5),
        "no query has a positive in the gallery",
    ),
    "ranking, cmc": (lambda: cmc(Ranks(np.zeros(3, int)), 5), "no query has a positive in the gallery"),
    "resampling, none": (lambda: bootstrap_interval(np.zeros(0, bool)), "no query counts"),
    "resampling, unequal": (
        lambda: paired_test(np.ones(3, bool), np.ones(4, bool)),
        "the same queries ... 3 and 4",
    ),
    "cka, unequal": (lambda: cka_from_grams(np.eye(3), np.eye(4)), "3 and 4 were given"),
    "cka, constant": (lambda: linear_cka(np.ones((5, 3)), np.eye(5)), "undefined"),
    "hubness": (lambda: hubness(np.empty((0, 1), int), 3), "at least one query"),
    "gap": (lambda: modality_gap(np.ones((1, 2)), np.ones((1, 2))), "two or more frames"),
    "centroid": (lambda: centroid_condition(np.zeros((2, 3)), "ab", np.zeros((2, 3)), "ac"), "there are 1"),
    "detection": (lambda: score_detections([NO_BOX], [NO_BOX], ["a"]), "mAP is undefined"),
    "fcm, none": (lambda: fraction_of_correct_matches(np.zeros(0), [5]), "there is no query"),
    "fcm, threshold": (
        lambda: score_matches(np.array([[0]]), frames(1, x=1.0, y=0.0), frames(1, x=1.0, y=0.0), []),
        "at least one threshold",
    ),
    "fcm, columns": (lambda: near_mask(frames(1), frames(1), 5), "needs the columns x and y"),
    "fcm, measure": (
        lambda: near_mask(frames(1), frames(1), 5, "metres"),
        "unknown measure of place 'metres'; did you mean meters?",
    ),
    "protocol, name": (lambda: Protocol.parse("exakt"), "unknown protocol 'exakt'"),
    "protocol, place": (lambda: check("place"), "the column 'place'"),
    "protocol, within": (lambda: check("within:25", x=[1.0, 2.0]), "x and y, or lat and lon"),
    "protocol, itself": (lambda: check("exact", same_band=True), "only find itself"),
    "reid, name": (
        lambda: reid_labels(frames(2, identity="a", camera="b"), frames(2, identity="a"), "samecamera"),
        "unknown ... 'samecamera'; did you mean same-camera",
    ),
    "reid, column": (
        lambda: reid_labels(frames(2, identity="a"), frames(2, identity="a"), "same-camera"),
        "needs the column 'camera'",
    ),
    "reid, none": (
        lambda: score_reid([(0, np.zeros((1, 1)))], ONE, ONE, "own-frame").mean_ap,
        "no query has its identity in the gallery under protocol own-frame",
    ),
    "segmentation, name": (
        lambda: score_confusion(np.eye(2), "rtf"),
        "unknown segmentation protocol 'rtf'; did you mean rtfnet",
    ),
    "segmentation, label": (
        lambda: confusion_matrix(np.zeros((1, 1), int), np.array([[9]]), 2),
        "a label of 9 among 2 classes",
    ),
    "segmentation, shape": (
        lambda: confusion_matrix(np.zeros((1, 2), int), np.zeros((2, 1), int), 2),
        "differ in shape",
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(case):
    assert_says(*MESSAGES[case])
