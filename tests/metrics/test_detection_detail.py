"""AP recomputed from matches is COCO's, and its interval and false alarms are what they say."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval", reason="COCO's mAP is an extra: crossband[train]")

from crossband.metrics.detection import score_detections
from crossband.metrics.detection_detail import false_alarms, map50_interval, match_class


def scenes(seed: int, images: int = 12):
    """True boxes, and detections that are near some of them."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = int(rng.integers(0, 9))
        corner, side = rng.uniform(0, 80, (count, 2)), rng.uniform(5, 30, (count, 2))
        kind = rng.integers(0, 2, (count, 1))
        truth.append(np.concatenate([corner, corner + side, kind], 1))
        near = corner + rng.normal(0, 3, (count, 2))
        boxes = np.concatenate(
            [near, near + side * rng.uniform(0.8, 1.2, (count, 2)), rng.uniform(0, 1, (count, 1)), kind], 1
        )
        wrong = rng.uniform(0, 60, (4, 2))
        noise = np.concatenate([wrong, wrong + 15, rng.uniform(0, 1, (4, 1)), rng.integers(0, 2, (4, 1))], 1)
        found.append(np.concatenate([boxes[rng.uniform(size=count) < 0.8], noise]))
    return found, truth


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_coco(seed):
    found, truth = scenes(seed)
    expected = score_detections(found, truth, ["a", "b"]).ap50
    for kind, name in enumerate("ab"):
        assert 100 * match_class(found, truth, kind).average_precision() == pytest.approx(
            expected[name], abs=1e-6
        )


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_with_crowds_is_that_of_coco(seed):
    found, truth = scenes(seed)
    parts = [np.random.default_rng([seed, image]).random(len(boxes)) < 0.4 for image, boxes in enumerate(truth)]
    crowds = [boxes[part] for boxes, part in zip(truth, parts, strict=True)]
    truth = [boxes[~part] for boxes, part in zip(truth, parts, strict=True)]
    expected = score_detections(found, truth, ["a", "b"], crowds).ap50
    plain = score_detections(found, truth, ["a", "b"]).ap50
    for kind, name in enumerate("ab"):
        mine = 100 * match_class(found, truth, kind, crowds=crowds).average_precision()
        assert mine == pytest.approx(expected[name], abs=1e-6)
        assert mine >= plain[name]


def test_a_set_that_stands_twice_has_the_same_precision():
    matched = match_class(*scenes(1), 0)
    twice = matched.average_precision(np.full(12, 2.0))
    assert twice == pytest.approx(matched.average_precision())


def test_the_interval_holds_the_value_and_shrinks_with_more_images():
    wide, narrow = (
        map50_interval([match_class(*scenes(3, n), kind) for kind in (0, 1)], range(n), 100) for n in (10, 160)
    )
    value = 100 * np.mean([match_class(*scenes(3, 160), kind).average_precision() for kind in (0, 1)])
    assert narrow[0] < value < narrow[1]
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


def test_false_alarms_grow_with_recall_and_end_where_it_is_not_reached():
    matched = match_class(*scenes(2, 60), 0)
    rates = [false_alarms(matched, recall) for recall in (0.1, 0.2, 0.4)]
    assert None not in rates
    assert rates == sorted(rates)
    assert false_alarms(matched, 1.0) is None
