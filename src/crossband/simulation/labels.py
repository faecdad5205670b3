"""Labels of a frame: MFNet classes, boxes in COCO form, and the flow between bands."""

from __future__ import annotations

import numpy as np

from .cameras import Camera
from .meshes import Kind
from .shade import Picture

__all__ = ["CATEGORIES", "MFNET_CLASSES", "boxes", "flow_between", "mfnet_labels"]

MFNET_CLASSES = ("unlabeled", "car", "person", "bike", "curve", "car_stop", "guardrail", "color_cone", "bump")
"""The classes of the MFNet dataset (Ha et al., IROS 2017) by their number."""

CATEGORIES: dict[Kind, tuple[int, str]] = {
    Kind.PERSON: (1, "person"),
    Kind.VEHICLE: (2, "car"),
    Kind.BICYCLE: (3, "bicycle"),
    Kind.DOG: (4, "dog"),
}
"""COCO category of what moves: number and name."""

_MFNET = {
    Kind.VEHICLE: 1,
    Kind.PERSON: 2,
    Kind.BACKPACK: 2,
    Kind.BICYCLE: 3,
    Kind.CURB: 4,
    Kind.CAR_STOP: 5,
    Kind.GUARDRAIL: 6,
    Kind.CONE: 7,
    Kind.BUMP: 8,
}
_SMALLEST_BOX = 12  # pixels of an object that make a box
_AROUND = 2  # pixels around an object that is too small for a box of its own


def mfnet_labels(kind: np.ndarray) -> np.ndarray:
    """Map classes of the city to MFNet's, uint8 of the same shape.

    Example:
        >>> mfnet_labels(np.array([[Kind.ROAD, Kind.VEHICLE, Kind.BUMP]])).tolist()
        [[0, 1, 8]]
    """
    table = np.zeros(len(Kind), np.uint8)
    for city_class, number in _MFNET.items():
        table[city_class] = number
    return table[kind]


def boxes(picture: Picture) -> list[dict[str, object]]:
    """Return boxes of all persons, vehicles, bicycles and dogs, as COCO annotations without their numbers.

    Each has ``category_id``, ``bbox`` (x, y, width, height in pixels), ``area`` (visible pixels),
    ``iscrowd`` and ``instance``. Objects with fewer than 12 visible pixels are crowds, as COCO has them: with
    ``iscrowd`` 1 and a box two pixels wider on each side, neither required nor counted as false.
    """
    height, width = picture.kind.shape
    kind = np.where(picture.kind == Kind.BACKPACK, Kind.PERSON, picture.kind)
    wanted = np.isin(kind, [int(k) for k in CATEGORIES])
    code = np.where(wanted, picture.instance.astype(np.int64) * 32 + kind, -1)
    values, _first, counts = np.unique(code, return_index=True, return_counts=True)
    out = []
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        if value < 0:
            continue
        rows, columns = np.nonzero(code == value)
        small = count < _SMALLEST_BOX
        around = _AROUND if small else 0
        x, y = max(int(columns.min()) - around, 0), max(int(rows.min()) - around, 0)
        right, bottom = min(int(columns.max()) + around, width - 1), min(int(rows.max()) + around, height - 1)
        out.append(
            {
                "category_id": CATEGORIES[Kind(value % 32)][0],
                "bbox": [x, y, right - x + 1, bottom - y + 1],
                "area": count,
                "iscrowd": int(small),
                "instance": value // 32,
            }
        )
    return out


def flow_between(
    first: Camera, second: Camera, seen: Picture, other: Picture, corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute where each pixel of one camera is in another that sees later.

    The ray of a pixel hit a point of a triangle; the flow leads to where that point of that triangle is for
    the second camera: exact for whatever moves, limbs too.

    Args:
        first: the camera of ``seen``.
        second: the other camera.
        seen: what the first sees.
        other: what the second sees.
        corners: ``(H * W, 3, 3)`` corners, when the second camera looks, of the triangles that ``seen`` hit.

    Returns:
        ``(H, W, 2)`` float32, pixels right and down; and ``(H, W)`` bool: the point is seen by both.
    """
    height, width = seen.kind.shape
    weight = np.stack([1 - seen.hits.u - seen.hits.v, seen.hits.u, seen.hits.v], axis=1)
    point = np.einsum("nij,ni->nj", corners.astype(np.float64), weight)
    hit = seen.hits.triangle >= 0
    rows, columns = np.divmod(np.arange(height * width), width)
    # the sky is at no distance: the same direction
    far = first.directions(columns + 0.5, rows + 0.5) * 1e6 + second.position
    x, y, depth = second.project(np.where(hit[:, None], point, far))
    source_x, source_y = columns + 0.5, rows + 0.5
    flow = np.stack([x - source_x, y - source_y], axis=1)
    at_x, at_y = np.floor(x).astype(int), np.floor(y).astype(int)
    inside = (depth > 0) & (at_x >= 0) & (at_y >= 0) & (at_x < width) & (at_y < height)
    there = np.where(inside, at_y * width + at_x, 0)
    met = other.depth.reshape(-1)[there]
    same = np.where(hit, (met > 0) & (np.abs(met - depth) < 0.05 + 0.04 * depth), met == 0)
    same &= seen.instance.reshape(-1) == other.instance.reshape(-1)[there]
    flow = np.where(inside[:, None], flow, 0)
    return flow.reshape(height, width, 2).astype(np.float32), (inside & same).reshape(height, width)
