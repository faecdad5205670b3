"""Objects in label maps, the connected parts of countable classes, and the tables that name them.

==================  ===========================================================================================
``segments.csv``     a row a frame and class that is there: share in percent, objects
``coco.json``        COCO: images, categories, and an annotation an object, its mask as compressed run lengths
==================  ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["COUNTABLE", "boxes_of", "coco", "countable", "find_objects", "share_table"]

COUNTABLE = frozenset(
    {"car", "truck", "bus", "person", "survivor", "bike", "bicycle", "motorcycle", "backpack"}
)
"""Classes whose objects stand apart; those of ``curve`` or ``road`` do not."""

_LEAST_SHARE = 1e-4  # of the picture's pixels: 31 of 640x480
_LEAST = 9  # pixels


def countable(classes: Sequence[str]) -> list[str]:
    """Return those of some classes whose objects are counted.

    Example:
        >>> countable(["unlabeled", "car", "curve"])
        ['car']
    """
    return [name for name in classes if name in COUNTABLE]


def find_objects(labels: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Find the connected parts of countable classes that are no specks.

    Args:
        labels: ``(H, W)``.
        classes: their names.

    Returns:
        of each ``class`` (its number), ``box`` (left, top, right, bottom), ``area`` (pixels) and ``counts``,
        the compressed run lengths of its mask as COCO has them.

    Example:
        >>> labels = np.zeros((8, 10), np.uint8)
        >>> labels[2:6, 3:7] = 1
        >>> [(one["box"], one["area"]) for one in find_objects(labels, ["nothing", "car"])]
        [([3, 2, 7, 6], 16)]
    """
    from scipy import ndimage

    least = max(_LEAST, _LEAST_SHARE * labels.size)
    found = []
    for kind, name in enumerate(classes):
        if name not in COUNTABLE or not (mask := labels == kind).any():
            continue
        parts, _ = ndimage.label(mask, np.ones((3, 3), bool))
        for number, place in enumerate(ndimage.find_objects(parts), 1):
            part = parts[place] == number
            if (area := int(part.sum())) < least:
                continue
            rows, columns = place
            whole = np.zeros(labels.shape, bool)
            whole[place] = part
            box = [columns.start, rows.start, columns.stop, rows.stop]
            found.append({"class": kind, "box": box, "area": area, "counts": run_lengths(whole)})
    return found


def run_lengths(mask: np.ndarray) -> str:
    """Compress a mask as COCO does.

    Its runs go down the columns, each written as its difference to the one before the last.

    Example:
        >>> run_lengths(np.array([[0, 1], [1, 1]], bool))
        '13'
    """
    flat = mask.ravel(order="F")
    edges = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    runs = np.diff(edges).tolist()
    if flat[0]:
        runs = [0, *runs]
    text = []
    for place, run in enumerate(runs):
        value, more = run - runs[place - 2] if place > 2 else run, True
        while more:
            part, value = value & 0x1F, value >> 5
            more = value != -1 if part & 0x10 else value != 0
            text.append(chr(part + 0x20 * more + 48))
    return "".join(text)


def boxes_of(objects: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return objects as what tracks are made of: ``(n, 6)``, left, top, right, bottom, 1, class."""
    return np.array([[*one["box"], 1.0, one["class"]] for one in objects], float).reshape(-1, 6)


def share_table(
    shares: Mapping[str, Mapping[str, float]],
    objects: Mapping[str, Sequence[Mapping[str, Any]]],
    classes: Sequence[str],
) -> pd.DataFrame:
    """Return one row for each frame and class that is there.

    It has the share in percent, and how many objects where those are counted.

    Args:
        shares: percent by class, by frame.
        objects: of :func:`find_objects`, by frame.
        classes: their names.
    """
    rows = []
    for frame, of_classes in shares.items():
        for kind, name in enumerate(classes):
            if share := of_classes[name]:
                number = sum(one["class"] == kind for one in objects[frame]) if name in COUNTABLE else None
                rows.append({"frame": frame, "class": name, "share": round(share, 4), "objects": number})
    return pd.DataFrame(rows, columns=["frame", "class", "share", "objects"]).astype({"objects": "Int64"})


def coco(
    files: Sequence[str],
    sizes: Sequence[Sequence[int]],
    objects: Sequence[Sequence[Mapping[str, Any]]],
    tracks: Sequence[np.ndarray],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return the objects of some frames as COCO; a category's number is its value in the label maps.

    Args:
        files: the frames' names.
        sizes: (height, width) of each.
        objects: of :func:`find_objects`, of each.
        tracks: which object of the whole each one is.
        classes: their names.
    """
    images = [
        {"id": row, "file_name": name, "height": size[0], "width": size[1]}
        for row, (name, size) in enumerate(zip(files, sizes, strict=True))
    ]
    annotations: list[dict[str, Any]] = []
    for image, (found, numbers) in enumerate(zip(objects, tracks, strict=True)):
        for one, track in zip(found, numbers, strict=True):
            left, top, right, bottom = one["box"]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": one["class"],
                    "bbox": [left, top, right - left, bottom - top],
                    "area": one["area"],
                    "segmentation": {"size": list(sizes[image]), "counts": one["counts"]},
                    "iscrowd": 0,
                    "track_id": int(track),
                }
            )
    categories = [{"id": kind, "name": name} for kind, name in enumerate(classes) if name in COUNTABLE]
    return {"images": images, "categories": categories, "annotations": annotations}
