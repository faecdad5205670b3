"""Detection: COCO's mAP by faster-coco-eval, and the IoU of matched boxes.

The protocol is called ``coco-bbox``: AP over IoU 0.5 to 0.95 in steps of 0.05, 101 points of recall, at most
100 boxes per image, classes without an object left out (Lin et al., "Microsoft COCO", ECCV 2014, and its
evaluation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import CrossbandError, MissingExtraError

__all__ = ["COCO_PROTOCOL", "DetectionScores", "match_boxes", "score_detections"]

COCO_PROTOCOL = "coco-bbox"


@dataclass(frozen=True)
class DetectionScores:
    """What a detector scored.

    Attributes:
        map: AP over IoU 0.5 to 0.95, percent; ``map50`` and ``map75`` at one IoU.
        ap50: AP at IoU 0.5 of each class that occurs, percent.
        iou: mean IoU of the true boxes with the best detection of their class, percent; 0 for a miss.
        n_images, n_boxes, n_detections: how many.
    """

    map: float
    map50: float
    map75: float
    ap50: dict[str, float]
    iou: float
    n_images: int
    n_boxes: int
    n_detections: int

    def to_dict(self) -> dict[str, Any]:
        """Return a plain mapping, with the protocol's name."""
        return {"protocol": COCO_PROTOCOL, **asdict(self)}


def score_detections(
    found: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    classes: Sequence[str],
    crowds: Sequence[np.ndarray] | None = None,
) -> DetectionScores:
    """Score detections by COCO's mAP.

    Args:
        found: of each image ``(n, 6)``: left, top, right, bottom in pixels, score, class.
        truth: of each image ``(m, 5 or more)``: left, top, right, bottom in pixels, class.
        classes: names.
        crowds: of each image, as ``truth``: what is detected there, of that class, is neither right nor wrong.

    Raises:
        CrossbandError: no true box at all, or faster-coco-eval is missing.

    Example:
        >>> truth = [np.array([[10, 10, 30, 30, 0.0]])]
        >>> scores = score_detections([np.array([[10, 10, 30, 30, 0.9, 0.0]])], truth, ["car"])
        >>> round(scores.map, 3), scores.iou
        (100.0, 100.0)
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ModuleNotFoundError:
        raise MissingExtraError("COCO's mAP needs faster-coco-eval; pip install 'crossband[train]'") from None
    if crowds is not None and len(crowds) != len(truth):
        raise CrossbandError(f"shape mismatch: crowds of {len(crowds)} images and boxes of {len(truth)}")
    n_boxes = sum(len(boxes) for boxes in truth)
    if not n_boxes:
        raise CrossbandError("no image has a ground-truth box, so mAP is undefined")
    present = sorted({int(box[4]) for boxes in truth for box in np.asarray(boxes)})
    annotations = [
        {
            "image_id": image,
            "category_id": int(box[4]),
            "bbox": _xywh(box),
            "area": float((box[2] - box[0]) * (box[3] - box[1])),
            "iscrowd": crowd,
        }
        for crowd, images in ((0, truth), (1, crowds or ()))
        for image, boxes in enumerate(images)
        for box in np.asarray(boxes, float)
    ]
    results = [
        {
            "image_id": image,
            "category_id": int(box[5]),
            "score": float(box[4]),
            "bbox": _xywh(box),
        }
        for image, boxes in enumerate(found)
        for box in np.asarray(boxes, float)
    ]
    iou = [float(v) for a, b in zip(truth, found, strict=True) for v in _best_iou(np.asarray(a), np.asarray(b))]
    counts = {"n_images": len(truth), "n_boxes": n_boxes, "n_detections": len(results)}
    if not results:
        zero = {classes[number]: 0.0 for number in present}
        return DetectionScores(0.0, 0.0, 0.0, zero, 0.0, **counts)
    content = {
        "images": [{"id": image} for image in range(len(truth))],
        "annotations": [{"id": number, **one} for number, one in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes)],
    }
    reference = COCO(content)
    evaluation = COCOeval_faster(reference, reference.loadRes(results), "bbox")
    evaluation.run()
    precision = evaluation.eval["precision"]  # IoU, recall, class, area, most
    ap50 = {classes[n]: 100 * float(np.mean(precision[0, :, n, 0, -1])) for n in present}
    whole, half, three_quarters = (100 * float(value) for value in evaluation.stats[:3])
    return DetectionScores(whole, half, three_quarters, ap50, 100 * float(np.mean(iou)), **counts)


def _xywh(box: np.ndarray) -> list[float]:
    """A box as COCO writes it."""
    left, top, right, bottom = (float(value) for value in box[:4])
    return [left, top, right - left, bottom - top]


def _best_iou(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    if not len(truth) or not len(found):
        return np.zeros(len(truth))
    iou = _iou(truth[:, :4], found[:, :4]) * (truth[:, 4:5] == found[None, :, 5])
    return iou.max(1)


def match_boxes(truth: np.ndarray, found: np.ndarray, least: float = 0.5) -> np.ndarray:
    """Match each detection to the true box of largest IoU, int64 ``(n,)``.

    -1 where none overlaps enough.

    Args:
        truth: ``(m, 4 or more)``: left, top, right, bottom.
        found: ``(n, 4 or more)``: left, top, right, bottom.
        least: IoU.

    Example:
        >>> match_boxes(np.array([[0, 0, 10, 10]]), np.array([[0, 0, 10, 9], [50, 50, 60, 60]])).tolist()
        [0, -1]
    """
    if not len(truth) or not len(found):
        return np.full(len(found), -1)
    iou = _iou(truth[:, :4], found[:, :4])
    return np.where(iou.max(0) >= least, iou.argmax(0), -1)


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of corners ``(m, 4)`` and ``(n, 4)``, by torchvision: ``(m, n)``."""
    import torch
    import torchvision

    return torchvision.ops.box_iou(
        torch.from_numpy(np.ascontiguousarray(a, np.float64)),
        torch.from_numpy(np.ascontiguousarray(b, np.float64)),
    ).numpy()
