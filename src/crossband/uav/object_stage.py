"""The stages behind detection: what each box looks like, and boxes joined to objects on the ground.

======================  ==============================================================================
``descriptors.jsonl``   ``frame``, ``size`` (height, width), ``vectors``: float16, base64, a row a box,
                        with what is around it
``places.jsonl``        likewise with twice as much around it
``bare.jsonl``          likewise of the objects alone, for a photograph cut out around its object
======================  ==============================================================================

Neither knows the photograph: another one, over the same flight, takes what is there.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .attitude import remaining_error
from .flight import Flight
from .ground_objects import GroundObject, join_objects
from .object_descriptor import ObjectDescriptor, View, thermal_crops
from .projection import Pose
from .semantic_map import SemanticMap
from .stages import Position, StageFile

__all__ = ["Described", "FlightObjects", "describe", "join", "object_length"]

_FILES = {View.BARE: "bare.jsonl", View.AROUND: "descriptors.jsonl", View.PLACE: "places.jsonl"}
_GIVEN = 10.0
"""Standard deviation, meters, of a position whose error nobody has said."""


@dataclass(frozen=True)
class Described:
    """A frame's boxes as vectors.

    Attributes:
        size: (height, width) of the frame.
        vectors: float32 ``(n, d)``, of unit length, of each box.
    """

    size: tuple[int, int]
    vectors: np.ndarray


def describe(
    flight: Flight, found: list[np.ndarray], descriptor: ObjectDescriptor, out: Path, view: View
) -> list[Described]:
    """Describe each box of each frame, and write the file of the view.

    Args:
        flight: the frames.
        found: of :func:`.stages.detect`.
        descriptor: the network.
        out: the folder.
        view: how much of what is around the box.
    """
    upstream = (out / "detections.jsonl").read_text(encoding="utf-8").partition("\n")[0]
    margin = descriptor.shown(view)
    made_of = {"flight": flight.digest, "detections": upstream, "descriptor": descriptor.digest}
    if view is View.PLACE:
        made_of["margin"] = str(margin)
    stage = StageFile(out / _FILES[view], made_of)

    def work(row: int) -> dict[str, Any]:
        pixels, units = flight.pixels(row)
        crops = thermal_crops(pixels, units, found[row], descriptor.size, margin)
        return {"size": list(pixels.shape), "vectors": _encoded(descriptor(crops)) if len(crops) else ""}

    return [
        Described((record["size"][0], record["size"][1]), _decoded(record["vectors"], len(boxes)))
        for record, boxes in zip(stage.run(flight.names, work), found, strict=True)
    ]


def _encoded(vectors: np.ndarray) -> str:
    return base64.b64encode(vectors.astype(np.float16).tobytes()).decode()


def _decoded(text: str, count: int) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(text), np.float16).astype(np.float32)
    return flat.reshape(count, -1) if count else np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class FlightObjects:
    """The objects of a flight.

    Attributes:
        poses: of the frames, where they were localized.
        boxes: of each frame ``(n, 6)``.
        objects: on the ground; ``seen`` names frame and box.
    """

    poses: list[Pose]
    boxes: list[np.ndarray]
    objects: list[GroundObject]

    def lengths(self) -> np.ndarray:
        """Return the median length of each object over its frames, meters."""
        return np.array(
            [
                np.median([object_length(self.boxes[row][number], self.poses[row]) for row, number in one.seen])
                for one in self.objects
            ]
        )


def join(
    flight: Flight,
    ground: SemanticMap,
    positions: list[Position],
    found: list[np.ndarray],
    sizes: list[tuple[int, int]],
) -> FlightObjects:
    """Join the boxes of all frames to objects on the ground, sequence by sequence.

    Args:
        flight: the frames.
        ground: the map, whose meters they are.
        positions: of the frames.
        found: the boxes of each.
        sizes: (height, width) of each.
    """
    poses = [
        position.pose(flight.pose(row, ground, size))
        for row, (position, size) in enumerate(zip(positions, sizes, strict=True))
    ]
    objects: list[GroundObject] = []
    for rows in flight.sequences():
        errors = [_error(positions[row], poses[row]) for row in rows]
        for one in join_objects([found[row] for row in rows], [poses[row] for row in rows], errors):
            objects.append(one.renumbered(rows))
    return FlightObjects(poses, found, objects)


def object_length(box: np.ndarray, pose: Pose) -> float:
    """Return the length in meters of a box's longer side, at the distance of the ground below its middle.

    Example:
        >>> pose = Pose(0, 0, 50, heading=0, pitch=-90, focal=100, height=48, width=64)
        >>> object_length(np.array([20.0, 20, 30, 24]), pose)
        5.0
    """
    x, y = pose.to_ground((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    depth = float((np.array([x - pose.x, y - pose.y, -pose.altitude]) @ pose.axes.T)[2])
    return float(max(box[2] - box[0], box[3] - box[1])) / pose.focal * depth


def _error(position: Position, pose: Pose) -> np.ndarray:
    """Covariance of where objects are: a wrong height moves the aircraft, and what it sees back again."""
    if position.covariance is None:
        return np.eye(2) * _GIVEN**2
    east, between, north = position.covariance
    return np.array([[east, between], [between, north]]) - remaining_error(pose)
