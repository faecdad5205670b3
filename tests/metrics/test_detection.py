"""mAP by faster-coco-eval against a loop from its definition; IoU against hand-made boxes."""

import numpy as np
import pytest

from crossband.metrics.detection import match_boxes, score_detections


def scene(seed, images=6, classes=3):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        boxes = np.concatenate([rng.uniform(0, 80, (5, 2)), rng.uniform(8, 40, (5, 2))], 1)
        kinds = rng.integers(0, classes, 5)
        whole = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        truth.append(np.concatenate([whole, kinds[:, None], np.arange(5)[:, None]], 1))
        moved = boxes[:4] + rng.normal(0, 2, (4, 4))
        corners = np.concatenate([moved[:, :2], moved[:, :2] + moved[:, 2:]], 1)
        other = np.concatenate([rng.uniform(0, 50, (3, 2)), rng.uniform(60, 90, (3, 2))], 1)
        boxes, scores = np.concatenate([corners, other]), rng.uniform(0, 1, 7)
        kinds = np.concatenate([kinds[:4], rng.integers(0, classes, 3)])
        found.append(np.concatenate([boxes, scores[:, None], kinds[:, None]], 1))
    return found, truth


def average_precision(found, truth, kind: int, least: float) -> float:
    """One box after another, as COCO's evaluation is described: best score first, best free box, 101 points."""
    rows, n = [], sum(int((t[:, 4] == kind).sum()) for t in truth)
    for detections, boxes in zip(found, truth, strict=True):
        boxes, taken = boxes[boxes[:, 4] == kind], set()
        for d in sorted(detections[detections[:, 5] == kind], key=lambda row: -row[4]):
            best, chosen = least, None
            for i, (x0, y0, x1, y1) in enumerate(boxes[:, :4]):
                common = max(0.0, min(d[2], x1) - max(d[0], x0)) * max(0.0, min(d[3], y1) - max(d[1], y0))
                iou = common / ((d[2] - d[0]) * (d[3] - d[1]) + (x1 - x0) * (y1 - y0) - common)
                if i not in taken and iou >= best:
                    best, chosen = iou, i
            taken.add(chosen)
            rows.append((-d[4], chosen is not None))
    right = np.cumsum([hit for _, hit in sorted(rows)])
    precision = np.maximum.accumulate((right / np.arange(1, len(rows) + 1))[::-1])[::-1]
    at = np.searchsorted(right / n, np.linspace(0, 1, 101))
    return float(np.mean([precision[i] if i < len(precision) else 0.0 for i in at]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_map_is_that_of_its_definition(seed):
    found, truth = scene(seed)
    ours = score_detections(found, truth, ["a", "b", "c"])
    expected = [
        [average_precision(found, truth, kind, least) for kind in range(3)]
        for least in np.linspace(0.5, 0.95, 10)
    ]
    assert ours.map == pytest.approx(100 * np.mean(expected), abs=1e-9)
    assert list(ours.ap50.values()) == pytest.approx([100 * value for value in expected[0]])


def test_ap_follows_its_definition_on_a_case_by_hand():
    truth = [np.array([[0, 0, 10, 10, 0], [20, 0, 30, 10, 0]], float)]
    found = [np.array([[0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.8, 0], [20, 0, 30, 10, 0.7, 0]])]
    # recall 0.5 at precision 1, recall 1 at precision 2/3: 51 of 101 points at 1, 50 at 2/3
    assert score_detections(found, truth, ["a"]).map50 == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)


def test_a_detector_that_finds_nothing_scores_nothing():
    scores = score_detections([np.zeros((0, 6))], [np.array([[0, 0, 5, 5, 1]])], ["a", "b"])
    assert (scores.map, scores.iou, scores.ap50) == (0.0, 0.0, {"b": 0.0})


def test_the_iou_of_a_box_is_with_its_own_class():
    truth = [np.array([[0, 0, 10, 10, 0]], float)]
    found = [np.array([[0, 0, 10, 10, 0.9, 1], [0, 0, 10, 5, 0.5, 0]])]
    assert score_detections(found, truth, ["a", "b"]).iou == pytest.approx(50.0)


def test_a_detection_is_of_the_box_it_overlaps_most():
    truth = np.array([[0, 0, 10, 10], [8, 0, 18, 10]])
    assert match_boxes(truth, np.array([[7, 0, 17, 10], [30, 0, 40, 10]])).tolist() == [1, -1]
    assert match_boxes(np.zeros((0, 4)), np.zeros((2, 4))).tolist() == [-1, -1]


def test_what_is_found_in_a_crowd_of_its_class_is_neither_right_nor_wrong():
    truth = [np.array([[0, 0, 10, 10, 0], [70, 0, 80, 10, 1]], float)]
    crowds = [np.array([[40, 40, 60, 60, 0]], float)]
    here = [70, 0, 80, 10, 0.9, 1]
    right, inside = [0, 0, 10, 10, 0.5, 0], [45, 45, 55, 55, 0.9, 0]
    other = [45, 45, 55, 55, 0.95, 1]
    classes = ["a", "b"]
    alone = score_detections([np.array([right, here])], truth, classes)
    ignored = score_detections([np.array([right, here, inside])], truth, classes, crowds)
    assert (ignored.map50, ignored.n_boxes) == (alone.map50, 2)
    assert score_detections([np.array([right, here, inside])], truth, classes).ap50["a"] == pytest.approx(50)
    assert score_detections([np.array([right, here, other])], truth, classes, crowds).ap50[
        "b"
    ] == pytest.approx(50)
