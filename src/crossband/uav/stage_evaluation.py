"""Table 2 of the paper beside ours: every stage and the whole chain, measured on the simulated city.

One function per question; each takes frames and networks and gives a plain mapping, so it can be asked alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..bands import Band
from ..data.scenes import KELVIN_A_UNIT, Scenes, resized
from ..errors import CrossbandError
from ..frames import Frames
from ..metrics.detection import match_boxes
from ..metrics.nauc import nauc
from ..metrics.ranking import Ranks
from ..metrics.resampling import bootstrap_interval
from ..models.thermal_gan import Translator
from ..progress import track
from .align import align_labels, flow_error, read_flow
from .evaluation import LAST_RANK, Crops, ReidCurve, best_probes, object_crops, rank_in_flights, score_ranks
from .flight import poses_of
from .ground_classes import OBJECT, UNKNOWN, label_table
from .match import (
    Signature,
    calibrate_beta,
    calibrate_threshold,
    combined,
    object_crop,
    pair_distances,
    signature,
)
from .networks import Labeler, Locator, Networks
from .semantic_map import read_map
from .stages import Position, label_image
from .tasks.localization import Search, localization_scores
from .translate import Photograph, translate_photograph

__all__ = [
    "PROBES",
    "Matcher",
    "descriptor_curve",
    "measure_alignment",
    "measure_chain",
    "measure_localization",
    "measure_matching",
    "measure_not_there",
]

BETAS = tuple(round(0.1 * i, 1) for i in range(11))
PROBES = ("translated", "gray", "true thermal")
"""What a probe is made: its translation; its luminance, stretched over the flight's temperatures; and, as the
most that translation could give, the thermal image of the same moment."""

_MARGIN = 0.25
_CROP = 64  # pixels of a crop that a descriptor reads


@dataclass
class Matcher:
    """Both parts of equation (1) between probes and the thermal boxes of their flights, computed once.

    Args:
        scenes: frames by day and by night; probes are of those by day.
        network: translates.
    """

    scenes: Scenes
    network: Translator

    def __post_init__(self) -> None:
        self.probes = best_probes(self.scenes)
        self._ambient: dict[str, float] = {}
        self._gallery: dict[tuple[int, int], Signature] = {}
        self._parts: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}

    def ambient(self, flight: str) -> float:
        """Return the median temperature of a flight's frames, kelvin."""
        if flight not in self._ambient:
            rows = np.flatnonzero(self.scenes.frames.table["sequence"].to_numpy() == flight)
            self._ambient[flight] = float(np.median([self.scenes.ambient(int(row)) for row in rows]))
        return self._ambient[flight]

    def seen(self, where: tuple[int, int]) -> Signature:
        """Compute the signature of a thermal box."""
        if where not in self._gallery:
            row, number = where
            flight = self.scenes.frames.table["sequence"].iloc[row]
            crop = object_crop(self.scenes.kelvin(row)[0].numpy(), self.scenes.boxes[row][number][:4])
            self._gallery[where] = signature(crop, self.ambient(flight))
        return self._gallery[where]

    def asked(self, where: tuple[int, int], probe: str, flight: str) -> Signature:
        """Compute the signature of a probe, as if it were searched in a flight."""
        row, number = where
        ambient = self.ambient(flight)
        if probe == "true thermal":
            crop = object_crop(self.scenes.kelvin(row)[0].numpy(), self.scenes.boxes[row][number][:4])
            own = self.ambient(self.scenes.frames.table["sequence"].iloc[row])
            return signature(crop - own + ambient, ambient)
        photograph = cut_out(self.scenes, where)
        if probe == "translated":
            made = translate_photograph(photograph, self.network, ambient)
            return signature(object_crop(made.kelvin, made.box), ambient)
        low, high = self._stretch(flight)
        gray = (photograph.pixels * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).numpy()
        return signature(object_crop(low + (high - low) * gray, photograph.box), ambient)

    def translated_crop(self, where: tuple[int, int], flight: str) -> torch.Tensor:
        """Crop a probe's translation as :func:`.protocol.object_crops` crops thermal boxes."""
        ambient = self.ambient(flight)
        made = translate_photograph(cut_out(self.scenes, where), self.network, ambient)
        kelvin = torch.from_numpy(object_crop(made.kelvin, made.box))[None]
        scaled = ((kelvin - ambient) / (8 * KELVIN_A_UNIT) + 0.5).clamp(0, 1)
        return resized(scaled, (_CROP, _CROP)).expand(3, -1, -1)[None]

    def _stretch(self, flight: str) -> tuple[float, float]:
        rows = np.flatnonzero(self.scenes.frames.table["sequence"].to_numpy() == flight)
        kelvin = np.concatenate([self.scenes.kelvin(int(row)).numpy().ravel()[::16] for row in rows])
        low, high = np.percentile(kelvin, (1, 99))
        return float(low), float(high)

    def parts(self, flight: str, probe: str, queries: Crops, gallery: Crops) -> tuple[np.ndarray, np.ndarray]:
        """Compute histogram and region distances of the probes of a flight to its boxes."""
        key = flight, probe
        if key not in self._parts:
            asked = [self.asked(where, probe, flight) for where in queries]
            self._parts[key] = pair_distances(asked, [self.seen(where) for where in gallery])
        return self._parts[key]

    def curve(self, probe: str, beta: float) -> ReidCurve:
        """Compute CMC and nAUC by equation (1)."""

        def distances(flight: str, queries: Crops, gallery: Crops) -> np.ndarray:
            return combined(*self.parts(flight, probe, queries, gallery), beta)

        return score_ranks(*rank_in_flights(self.scenes, self.probes, distances))

    def chance(self) -> float:
        """Compute the nAUC of a random order, percent, by the mean numbers of boxes and of right ones."""
        sequences, boxes = self.scenes.frames.table["sequence"].to_numpy(), self.scenes.boxes
        sizes, right = [], []
        for row, number in self.probes:
            others = [i for i in np.flatnonzero(sequences == sequences[row]) if i != row]
            sizes.append(sum(len(boxes[i]) for i in others))
            right.append(sum(int((boxes[i][:, 5] == boxes[row][number][5]).sum()) for i in others))
        return chance_nauc(float(np.mean(sizes)), float(np.mean(right)))


def cut_out(scenes: Scenes, where: tuple[int, int]) -> Photograph:
    """Cut out the photograph of an object: its box with a margin of a quarter, in color."""
    row, number = where
    image = scenes.color(row)
    x0, y0, x1, y1 = (float(v) for v in scenes.boxes[row][number][:4])
    across, down = (x1 - x0) * _MARGIN, (y1 - y0) * _MARGIN
    left, top = max(0, int(x0 - across)), max(0, int(y0 - down))
    right = min(image.shape[2], int(np.ceil(x1 + across)))
    bottom = min(image.shape[1], int(np.ceil(y1 + down)))
    box = x0 - left, y0 - top, x1 - left, y1 - top
    return Photograph(image[:, top:bottom, left:right], box)


def measure_matching(val: Matcher, test: Matcher) -> dict[str, Any]:
    """Measure each kind of probe on test, with the beta that is best for it on val.

    Returns:
        by probe ``beta``, ``val_nauc`` and the figures of :meth:`ReidCurve.to_dict`; ``parts``: histogram
        alone (beta 1) and regions alone (beta 0) of the translated probes; and ``translated_less_gray``: the
        difference in nAUC on the same probes, with its interval.
    """
    found: dict[str, Any] = {}
    areas: dict[str, np.ndarray] = {}
    for probe in PROBES:
        scores = [val.curve(probe, beta).nauc for beta in track(BETAS, len(BETAS), f"beta, {probe}", "steps")]
        beta = calibrate_beta(scores, BETAS)
        curve = test.curve(probe, beta)
        areas[probe] = curve.areas
        found[probe] = {"beta": beta, "val_nauc": max(scores), **curve.to_dict()}
    parts = {name: test.curve("translated", beta).nauc for name, beta in (("histogram", 1.0), ("regions", 0.0))}
    gain = areas["translated"] - areas["gray"]
    found["translated_less_gray"] = {"nauc": float(gain.mean()), "ci95": list(bootstrap_interval(gain / 100))}
    return {**found, "parts": parts, "chance": test.chance()}


def descriptor_curve(matcher: Matcher, probe: str, name: str = "efficientnet_lite0@blocks.2:avg4") -> ReidCurve:
    """Measure the same probes compared by a learned descriptor instead of equation (1).

    Vectors are of unit length and centered by the mean of their side of the comparison, as the project's
    descriptors across bands are.

    Args:
        matcher: frames and probes.
        probe: ``translated`` or ``color``.
        name: see :class:`crossband.retrieval.Descriptor`.
    """
    from ..retrieval import Descriptor, Options
    from ..retrieval.descriptor.descriptor import unit_length

    descriptor = Descriptor.load(name, Options(size=(_CROP, _CROP), device="cpu"))
    scenes = matcher.scenes
    statistics = descriptor.preprocess.statistics[Band.TIR]
    mean, std = (torch.tensor(v)[:, None, None] for v in (statistics.mean, statistics.std))

    def vectors(crops: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            pooled = [descriptor.pooled((part - mean) / std) for part in crops.split(32)]
        found = unit_length(torch.cat(pooled).flatten(1).cpu().numpy())
        return unit_length(found - found.mean(0))

    def distances(flight: str, queries: Crops, gallery: Crops) -> np.ndarray:
        if probe == "color":
            asked = object_crops(scenes, queries, "rgb", _CROP)
        else:
            asked = torch.cat([matcher.translated_crop(where, flight) for where in queries])
        seen = vectors(object_crops(scenes, gallery, "tir", _CROP))
        return 1 - vectors(asked) @ seen.T

    return score_ranks(*rank_in_flights(scenes, matcher.probes, distances))


def chance_nauc(n: float, right: float) -> float:
    """Compute the nAUC, percent, over ranks 1 to 20 of a random order of ``n`` boxes, ``right`` right.

    Example:
        >>> round(chance_nauc(100, 1), 1)
        10.5
    """
    ranks = np.arange(1, LAST_RANK + 1)
    miss = np.ones(LAST_RANK)
    for rank in ranks:
        left = max(n - rank + 1, 1e-9)
        miss[rank - 1] = (miss[rank - 2] if rank > 1 else 1.0) * max(1 - right / left, 0)
    return nauc(100 * (1 - miss))


def measure_not_there(val: Matcher, test: Matcher, beta: float) -> dict[str, Any]:
    """Measure, on test, the val threshold beyond which an object counts as absent.

    A probe is searched in its own flight (without its own frame), where its object is; and in another flight
    by day, where it is not.

    Returns:
        ``threshold``; ``val_balanced`` and ``balanced`` accuracy, ``found`` (of those that are there) and
        ``refused`` (of those that are not), percent; and how many there are.
    """
    distances = {name: _nearest(matcher, beta) for name, matcher in (("val", val), ("test", test))}
    threshold, accuracy = calibrate_threshold(*distances["val"])
    present, absent = distances["test"]
    found, refused = 100 * float(np.mean(present <= threshold)), 100 * float(np.mean(absent > threshold))
    return {
        "threshold": threshold,
        "val_balanced": accuracy,
        "balanced": (found + refused) / 2,
        "found": found,
        "refused": refused,
        "n_present": len(present),
        "n_absent": len(absent),
    }


def _nearest(matcher: Matcher, beta: float) -> tuple[np.ndarray, np.ndarray]:
    scenes = matcher.scenes
    flights = scenes.frames.table["sequence"].to_numpy()
    days = list(dict.fromkeys(flights[row] for row, _ in matcher.probes))
    if len(days) < 2:
        raise CrossbandError("measuring absent objects needs at least two daytime flights")
    boxes = {
        flight: [
            (int(row), n) for row in np.flatnonzero(flights == flight) for n in range(len(scenes.boxes[row]))
        ]
        for flight in days
    }
    present: list[float] = []
    absent: list[float] = []
    for where in matcher.probes:
        home = flights[where[0]]
        away = days[(days.index(home) + 1) % len(days)]
        here = [other for other in boxes[home] if other[0] != where[0]]
        there = [
            other for other in boxes[away] if scenes.boxes[other[0]][other[1]][5] != _instance(scenes, where)
        ]
        for flight, gallery, kept in ((home, here, present), (away, there, absent)):
            if gallery:
                asked = [matcher.asked(where, "translated", flight)]
                parts = pair_distances(asked, [matcher.seen(other) for other in gallery])
                kept.append(float(combined(*parts, beta).min()))
    return np.array(present), np.array(absent)


def _instance(scenes: Scenes, where: tuple[int, int]) -> float:
    return float(scenes.boxes[where[0]][where[1]][5])


def measure_localization(
    frames: Frames, labeler: Labeler, locator: Locator, search: Search, seed: int = 0
) -> dict[str, Any]:
    """Measure localization by predicted labelings.

    See :func:`crossband.uav.tasks.localization.localization_scores`. The median of each condition and of each
    camera (``day``, ``oblique``) too, meters.
    """
    scenes, ground = Scenes(frames), read_map(frames.root)
    height, width = scenes.pixels(0, "tir").shape[:2]
    poses = poses_of(frames, ground, (height, width))
    units = frames.units()

    def labels(rows: Sequence[int]) -> list[np.ndarray]:
        found = [label_image(labeler, scenes.pixels(row, "tir"), units[row] or "counts") for row in rows]
        return [np.where(one == OBJECT, UNKNOWN, one).astype(np.uint8) for one in found]

    everything = labels(range(len(frames)))
    device = str(next(locator.network.parameters()).device)
    out = localization_scores(locator.network, ground, poses, everything, search, seed, device)
    errors = np.array(out["errors_m"])
    for column in ("condition", "camera"):
        for value in frames.table[column].dropna().unique() if frames.has(column) else ():
            rows = np.flatnonzero((frames.table[column] == value).to_numpy(bool))
            out[str(value)] = {"median_m": float(np.median(errors[rows])), "n_frames": len(rows)}
    return out


def measure_alignment(
    frames: Frames, classes: dict[str, int], labeler: Labeler | None = None
) -> dict[str, Any]:
    """Alignment against the city's true flow, on frames with ``flow`` (simulated ``misaligned``).

    The labeling is that of the color camera; the thermal camera sits beside it. Known pixels count.

    Args:
        frames: with ``flow``, ``semantic`` and ``tir``.
        classes: of ``semantic``, by name.
        labeler: of thermal images; without it edges alone are followed.

    Returns:
        mean end-point errors in pixels: ``before`` (no flow) and ``after``, and the share of frames that
        improve.
    """
    scenes = Scenes(frames)
    scenes.need("flow", "semantic", "tir")
    table = label_table(classes)
    before, after = [], []
    for row in track(range(len(frames)), len(frames), "aligning", "frames"):
        truth, known = read_flow(scenes.pixels(row, "flow"))
        labels = table[scenes.pixels(row, "semantic")]
        labels = np.where(labels == OBJECT, UNKNOWN, labels).astype(np.uint8)
        pixels, units = scenes.pixels(row, "tir"), frames.units()[row] or "counts"
        seen = None if labeler is None else label_image(labeler, pixels, units)
        found = align_labels(labels, pixels.astype(np.float32), seen)
        before.append(flow_error(np.zeros_like(truth), truth, known))
        after.append(flow_error(found.flow, truth, known))
    better = 100 * float(np.mean(np.array(after) < np.array(before)))
    return {
        "before_px": float(np.mean(before)),
        "after_px": float(np.mean(after)),
        "improved": better,
        "n_frames": len(frames),
    }


def measure_chain(
    scenes: Scenes, networks: Networks, positions: list[Position], found: list[np.ndarray], matcher: Matcher
) -> dict[str, Any]:
    """Measure the whole chain: probes among the detections, and where they are on the map.

    Args:
        scenes: the frames of all flights.
        networks: translation and calibration.
        positions: of every frame, by localization.
        found: detections of every frame.
        matcher: of the same frames.

    Returns:
        ``cmc`` and ``nauc`` with detections for a gallery (a query whose object no other frame's detections
        show counts as missed), ``meters`` (median error of the position of the nearest right detection), and
        ``first_meters`` (of the nearest detection, right or wrong).
    """
    beta = networks.calibration.beta
    ground = read_map(scenes.frames.root)
    flights = scenes.frames.table["sequence"].to_numpy()
    height, width = scenes.pixels(0, "tir").shape[:2]
    poses = poses_of(scenes.frames, ground, (height, width))
    ranks, right_meters, first_meters, sizes = [], [], [], []
    gallery = [_detected(scenes, matcher, row, found[row], flights[row]) for row in range(len(scenes))]
    for where in track(matcher.probes, len(matcher.probes), "the whole chain", "probes"):
        flight = flights[where[0]]
        mine = [one for row in np.flatnonzero(flights == flight) if row != where[0] for one in gallery[row]]
        sizes.append(len(mine))
        if not mine:
            ranks.append(LAST_RANK + 1)
            continue
        asked = [matcher.asked(where, "translated", flight)]
        distances = combined(*pair_distances(asked, [one[0] for one in mine]), beta)[0]
        right = np.array([one[1] == int(_instance(scenes, where)) for one in mine])
        truth = _on_map(poses[where[0]], scenes.boxes[where[0]][where[1]])
        off = np.array([np.hypot(*(_at(poses, positions, one) - truth)) for one in mine])
        first_meters.append(float(off[int(np.argmin(distances))]))
        if right.any():
            nearest = np.where(right, distances, np.inf)
            ranks.append(1 + int(np.sum(~right & (distances <= nearest.min()))))
            right_meters.append(float(off[int(np.argmin(nearest))]))
        else:
            ranks.append(len(mine) + 1)

    curve = score_ranks(Ranks(np.array(ranks)), float(np.mean(sizes))).to_dict()
    return {
        **curve,
        "protocol": "other-frames, detections",
        "meters": float(np.median(right_meters)) if right_meters else None,
        "first_meters": float(np.median(first_meters)) if first_meters else None,
        "n_found": len(right_meters),
    }


_Detected = tuple[Signature, int, int, np.ndarray]


def _detected(scenes: Scenes, matcher: Matcher, row: int, boxes: np.ndarray, flight: str) -> list[_Detected]:
    """Signature, true instance (-1 for none), frame and box of each detection."""
    if not len(boxes):
        return []
    kelvin, ambient = scenes.kelvin(row)[0].numpy(), matcher.ambient(flight)
    truth = scenes.boxes[row]
    which = match_boxes(truth, boxes)
    numbers = [int(truth[i][5]) if i >= 0 else -1 for i in which]
    return [
        (signature(object_crop(kelvin, box[:4]), ambient), number, row, box)
        for box, number in zip(boxes, numbers, strict=True)
    ]


def _on_map(pose: Any, box: np.ndarray) -> np.ndarray:
    return np.array(pose.to_ground((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), float)


def _at(poses: list[Any], positions: list[Position], one: _Detected) -> np.ndarray:
    row, box = one[2], one[3]
    return _on_map(positions[row].pose(poses[row]), box)
