"""The flight measured in unseen cities: positions, and the map's labeling laid onto the frames.

``python -m benchmarks.flight DATA`` reads the unseen cities of :mod:`benchmarks.models` below DATA and writes
its figures into docs/uav.md. Labels are of the packaged network. For the alignment each city is simulated once
more, with a thermal camera that sits beside the other, into ``DATA/misaligned_SEED``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossband.data.scenes import Scenes
from crossband.frames import Frames
from crossband.models.packaged import packaged_path
from crossband.progress import track
from crossband.simulation import simulate
from crossband.simulation.meshes import Kind
from crossband.uav.flight import poses_of
from crossband.uav.ground_classes import label_table
from crossband.uav.networks import Labeler, read_labeler
from crossband.uav.position_evaluation import measure_positions
from crossband.uav.projection import Pose
from crossband.uav.semantic_map import SemanticMap, read_map
from crossband.uav.stage_evaluation import measure_alignment
from crossband.uav.stages import label_image

from ._harness import ROOT, machine, write_section
from .model_figures import UNSEEN_CITIES

SMALL, LARGE = (256, 320), (512, 640)


@dataclass(frozen=True)
class Rendered:
    """A city's flights, as they are simulated.

    Attributes:
        name: of the folder.
        seed: of the city.
        frames: of all flights and photographs.
        size: (height, width) in pixels.
        misaligned: whether the thermal camera sits beside the other.
    """

    name: str
    seed: int
    frames: int
    size: tuple[int, int]
    misaligned: bool = False

    def below(self, data: Path) -> Path:
        """The folder, made if it is not there."""
        simulate("flight", self.frames, self.size, self.seed, data / self.name, misaligned=self.misaligned)
        return data / self.name


MISALIGNED = [Rendered(f"misaligned_{seed}", seed, 24, SMALL, misaligned=True) for seed in (631, 632, 633)]


class City:
    """The flights over one city, without the photographs for probes."""

    def __init__(self, name: str, frames: Frames) -> None:
        frames = frames.select((frames.table["camera"] != "probe").to_numpy(bool))
        self.name, self.frames, self.scenes = name, frames, Scenes(frames)
        self.ground: SemanticMap = read_map(frames.root)
        height, width = self.scenes.pixels(0, "tir").shape[:2]
        self.poses: list[Pose] = poses_of(frames, self.ground, (height, width))
        sequences = frames.table["sequence"]
        self.flights = [np.flatnonzero(sequences == one).tolist() for one in sequences.unique()]

    def labels(self, labeler: Labeler | None, table: np.ndarray) -> list[np.ndarray]:
        """The labeling of each frame, by a network or as it is."""
        rows = range(len(self.frames))
        if labeler is None:
            return [table[self.scenes.pixels(row, "semantic")] for row in rows]
        return [
            label_image(labeler, self.scenes.pixels(row, "tir"), "centikelvin")
            for row in track(rows, len(rows), f"labeling {self.name}", "frames")
        ]


def positions(cities: list[City], labeler: Labeler | None, table: np.ndarray, **how: Any) -> dict[str, Any]:
    """Errors of positions over all flights of all cities; ``how`` as of :func:`measure_positions`."""
    found: dict[str, list[list[float]]] = {"single": [], "sequence": [], "rough": []}
    inside, frames = 0.0, 0
    for city in cities:
        labels = city.labels(labeler, table)
        flights = [
            [(city.poses[row], labels[row], city.scenes.pixels(row, "tir")) for row in rows]
            for rows in city.flights
        ]
        one = measure_positions(city.ground, flights, **how)
        for name, errors in found.items():
            errors += one[name]["errors_m"]
        inside, frames = inside + one["inside"] * one["n_frames"], frames + one["n_frames"]
    return {**found, "inside": inside / frames}


def figures(errors: list[list[float]]) -> str:
    """Median and 90 % with intervals, flights drawn again."""
    rng = np.random.default_rng(0)
    parts = [np.array(one) for one in errors]
    drawn = [
        np.quantile(np.concatenate([parts[i] for i in rng.integers(len(parts), size=len(parts))]), [0.5, 0.9])
        for _ in range(1000)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    values = np.quantile(np.concatenate(parts), [0.5, 0.9])
    return " | ".join(f"{v:.1f} ({a:.1f} to {b:.1f})" for v, a, b in zip(values, low, high, strict=True))


def alignment(data: Path, labeler: Labeler) -> list[str]:
    """Errors of the labeling's place in the frames before and after, by edges alone and with labels."""
    parts = []
    for city in MISALIGNED:
        frames = Frames.read(city.below(data) / "frames.parquet")
        parts.append(frames.select((frames.table["camera"] != "probe").to_numpy(bool)))
    classes = {kind.name: int(kind) for kind in Kind}
    alone, seen = ([measure_alignment(part, classes, one) for part in parts] for one in (None, labeler))

    def mean(found: list[dict[str, Any]], figure: str) -> str:
        values = [one[figure] for one in found]
        return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    return [
        "| the map's labeling in the frame | end-point error, pixels (of cities) | frames that improve, % |",
        "|---|---:|---:|",
        f"| as the position says | {mean(seen, 'before_px')} | |",
        f"| laid onto edges alone | {mean(alone, 'after_px')} | {mean(alone, 'improved')} |",
        f"| onto edges and `crossband-label`'s labels | {mean(seen, 'after_px')} | {mean(seen, 'improved')} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    table = label_table({kind.name: int(kind) for kind in Kind})
    cities = [City(name, Frames.read(data / name / "frames.parquet")) for name in UNSEEN_CITIES]
    path = packaged_path("labeling")
    assert path is not None
    labeler = read_labeler(path)
    own, true = positions(cities, labeler, table), positions(cities, None, table)
    searched, believed = (
        positions(cities, labeler, table, wrong=(10.0, 0.1), corrected=one) for one in (True, False)
    )
    trusted = positions(cities, labeler, table, corrected=False)
    lines = ["| figure | median, m (95 %) | 90 %, m (95 %) |", "|---|---:|---:|"]
    for label, errors in (
        ("rough positions given", own["rough"]),
        ("a frame alone", own["single"]),
        ("a sequence of 10", own["sequence"]),
        ("a frame alone, true labels", true["single"]),
        ("a sequence of 10, headings and altitudes believed, which are right", trusted["sequence"]),
        ("a sequence of 10, true labels", true["sequence"]),
        ("a sequence of 10, headings up to 10° and altitudes up to 10 % wrong", searched["sequence"]),
        ("the same, believed", believed["sequence"]),
    ):
        lines.append(f"| {label} | {figures(errors)} |")
    lines += [
        "",
        f"{sum(len(city.frames) for city in cities)} frames of {len(own['single'])} flights over {len(cities)} "
        f"cities; the ellipse of 90 % holds {own['inside']:.0f} % of the sequences' positions.",
        "",
        *alignment(data, labeler),
        "",
        machine(),
    ]
    write_section(ROOT / "docs" / "uav.md", "flight", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
