"""How well flights are localized: frames alone and sequences of them, from rough positions that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .attitude import attitude_rows, estimate_attitude, remaining_error
from .likelihood import Agreement, agreement
from .projection import Pose
from .semantic_map import SemanticMap
from .sequence import Motion, ground_motion, locate_sequence

__all__ = ["measure_positions"]

_DRAWS = 1000


def measure_positions(
    ground: SemanticMap,
    flights: Sequence[Sequence[tuple[Pose, np.ndarray, np.ndarray]]],
    *,
    rough: float = 60.0,
    drift: float = 3.0,
    how: Agreement | None = None,
    wrong: tuple[float, float] = (0.0, 0.0),
    corrected: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Localize flights whose place is known, frame by frame and as sequences.

    The rough positions of a flight are all wrong by the same vector of up to ``rough`` meters, and each by a
    Gaussian of ``drift`` more.

    Args:
        ground: the map.
        flights: of each frame of each flight the true pose, the labeling and the thermal image, in order.
        rough: see above; also the radius that is searched, with three times ``drift`` added.
        drift: see above.
        how: see there.
        wrong: degrees and share by which the headings and altitudes of a flight are wrong at most.
        corrected: whether sequences correct both (:mod:`.attitude`); a frame alone never does.
        seed: of the rough positions.

    Returns:
        ``single``, ``sequence`` and ``rough``: each ``median_m``, ``p90_m`` with ``median_ci95`` and
        ``p90_ci95`` (flights drawn again), and ``errors_m``, a list for each flight; ``inside``: share of the
        frames of sequences whose error lies within the ellipse of 90 %, percent.
    """
    rng, of_poses = np.random.default_rng([seed, 31]), np.random.default_rng([seed, 32])
    errors: dict[str, list[np.ndarray]] = {"single": [], "sequence": [], "rough": []}
    inside: list[bool] = []
    for flight in flights:
        poses = [pose for pose, _, _ in flight]
        truth = np.array([(pose.x, pose.y) for pose in poses])
        angle, reach = rng.uniform(0, 2 * np.pi), rough * np.sqrt(rng.uniform())
        given = truth + reach * np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0, drift, truth.shape)
        turn, more = (float(most * part) for most, part in zip(wrong, of_poses.uniform(-1, 1, 2), strict=True))
        told = [pose.moved(*at).turned(turn, 1 + more) for pose, at in zip(poses, given.tolist(), strict=True)]
        radius = rough + 3 * drift
        chosen = attitude_rows(range(len(told))) if corrected else []
        attitude = estimate_attitude([flight[i][1] for i in chosen], [told[i] for i in chosen], ground, radius)
        better = [attitude.correct(pose) for pose in told]
        single = [agreement(flight[i][1], pose, ground, radius, how) for i, pose in enumerate(told)]
        seen = (
            single
            if better == told
            else [agreement(flight[i][1], pose, ground, radius, how) for i, pose in enumerate(better)]
        )
        motions = []
        for i in range(len(flight) - 1):
            east, north = (float(v) for v in given[i + 1] - given[i])
            known = Motion(east, north, 3 * drift)
            motions.append(ground_motion(flight[i][2], better[i], flight[i + 1][2], better[i + 1], known))
        together = locate_sequence(seen, motions)
        alone = [locate_sequence([one], [])[0] for one in single]
        for name, found in (("single", alone), ("sequence", together)):
            errors[name].append(np.hypot(*(np.array([(f.x, f.y) for f in found]) - truth).T))
        errors["rough"].append(np.hypot(*(given - truth).T))
        for estimate, pose, at in zip(together, better, truth, strict=True):
            off = np.array([estimate.x, estimate.y]) - at
            covariance = estimate.covariance + remaining_error(pose)
            inside.append(bool(off @ np.linalg.solve(covariance, off) <= 4.605))  # chi-squared, 2, 90 %
    return {
        **{name: _figures(values, seed) for name, values in errors.items()},
        "inside": 100 * float(np.mean(inside)),
        "n_flights": len(flights),
        "n_frames": sum(len(flight) for flight in flights),
    }


def _figures(errors: list[np.ndarray], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    drawn = [
        np.concatenate([errors[i] for i in rng.integers(len(errors), size=len(errors))]) for _ in range(_DRAWS)
    ]
    everything = np.concatenate(errors)
    found: dict[str, Any] = {"errors_m": [one.round(2).tolist() for one in errors]}
    shares = np.array([0.5, 0.9])
    values = np.quantile(everything, shares)
    low, high = np.quantile([np.quantile(one, shares) for one in drawn], [0.025, 0.975], axis=0)
    for number, name in enumerate(("median", "p90")):
        found[f"{name}_m"] = float(values[number])
        found[f"{name}_ci95"] = [float(low[number]), float(high[number])]
    return found
