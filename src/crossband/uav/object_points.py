"""Where detected objects are on the Earth, as far as a manifest says where its frames were taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..geo import METERS_PER_DEGREE, point_feature
from .projection import Pose

__all__ = ["METADATA", "object_points"]

METADATA = ("lat", "lon", "altitude", "heading", "pitch", "focal")
"""What a manifest says of where a frame was taken; ``pitch`` may be absent (-90, straight down)."""

_FARTHEST = 2000.0  # meters; beyond, a view that is nearly level says nothing of the ground


def object_points(
    table: pd.DataFrame,
    boxes: Sequence[np.ndarray],
    tracks: Sequence[np.ndarray],
    sizes: Sequence[Sequence[int]],
    classes: Sequence[str],
) -> list[dict[str, Any]] | None:
    """Return a feature of GeoJSON for each object, ``None`` where no frame has a position.

    An object is where the middle of its box meets flat ground, as the objects of a flight are; where a frame
    lacks altitude, heading or focal length, or the box is above the horizon, it gets the position of the
    camera. ``position`` says which it is.

    Args:
        table: a row a frame: its name, and :data:`METADATA` as far as it is known.
        boxes: of each frame ``(n, 6)``: left, top, right, bottom, score, class.
        tracks: of each frame ``(n,)``.
        sizes: (height, width) of each frame.
        classes: their names.
    """
    known = table.reindex(columns=list(METADATA)).apply(pd.to_numeric, errors="coerce").astype(float)
    if not (known["lat"].notna() & known["lon"].notna()).any():
        return None
    rows = known.fillna({"pitch": -90.0}).to_dict("records")
    features = []
    for frame, said, found, numbers, size in zip(table["frame"], rows, boxes, tracks, sizes, strict=True):
        for box, track in zip(found, numbers, strict=True):
            place, position = _place(said, box, size)
            told = {"frame": frame, "class": classes[int(box[5])], "score": round(float(box[4]), 4)}
            features.append(point_feature(place, {**told, "track": int(track), "position": position}))
    return features


def _place(
    said: dict[str, float], box: np.ndarray, size: Sequence[int]
) -> tuple[tuple[float, float] | None, str]:
    """Latitude and longitude of an object, and whose they are."""
    latitude, longitude = said["lat"], said["lon"]
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None, "unknown"
    if said["altitude"] > 0 and said["focal"] > 0 and math.isfinite(said["heading"]):
        view = {name: said[name] for name in ("altitude", "heading", "pitch", "focal")}
        pose = Pose(0.0, 0.0, **view, height=int(size[0]), width=int(size[1]))
        x, y = pose.to_ground((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        if math.hypot(x, y) <= _FARTHEST:
            scale = METERS_PER_DEGREE * math.cos(math.radians(latitude))
            return (latitude + float(y) / METERS_PER_DEGREE, longitude + float(x) / scale), "on the ground"
    return (latitude, longitude), "of the camera"
