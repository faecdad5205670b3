"""Equation (1) with the packaged translation: what temperatures guessed from color are worth for a search.

``python -m benchmarks.equation1 DATA`` compares the largest color view of each object of flights by day with
the true thermal boxes of the other frames, in the unseen cities of :mod:`benchmarks.models` below DATA, and
writes docs/uav.md. beta is chosen for each kind of probe on the cities that choose.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from crossband.data.scenes import Scenes
from crossband.frames import Frames
from crossband.metrics.resampling import bootstrap_interval
from crossband.models.packaged import packaged_path
from crossband.uav.match import Signature, object_crop, signature
from crossband.uav.networks import load_translator
from crossband.uav.stage_evaluation import BETAS, Matcher, cut_out
from crossband.uav.translate import translate_photograph

from ._harness import ROOT, machine, write_section
from .model_figures import UNSEEN_CITIES

CHOOSING = ("flight_621", "flight_622", "flight_623")
PROBES = {
    "translated": "translated by crossband-translate",
    "at its class": "the same, moved to the median of its class in the flight's own thermal boxes",
    "class alone": "that median alone",
    "gray": "gray, stretched over the flight's temperatures",
    "true thermal": "the thermal image of the same moment",
}


class Probes(Matcher):
    """With probes that are told how warm their class is in the flight."""

    def asked(self, where: tuple[int, int], probe: str, flight: str) -> Signature:
        """See :meth:`Matcher.asked`."""
        if probe not in ("at its class", "class alone"):
            return super().asked(where, probe, flight)
        row, number = where
        ambient, level = self.ambient(flight), self.levels(flight)[int(self.scenes.boxes[row][number][4])]
        made = translate_photograph(cut_out(self.scenes, where), self.network, ambient)
        crop = object_crop(made.kelvin, made.box)
        shown = np.zeros_like(crop) if probe == "class alone" else crop - np.median(crop)
        return signature(shown + level, ambient)

    def levels(self, flight: str) -> dict[int, float]:
        """The median temperature of each class of a flight's boxes, kelvin."""
        found: dict[int, list[float]] = {}
        for row in np.flatnonzero(self.scenes.frames.table["sequence"].to_numpy() == flight).tolist():
            kelvin = self.scenes.kelvin(row)[0].numpy()
            for box in self.scenes.boxes[row]:
                found.setdefault(int(box[4]), []).append(float(np.median(object_crop(kelvin, box[:4]))))
        return {kind: float(np.median(values)) for kind, values in found.items()}


def open_cities(data: Path, names: tuple[str, ...]) -> list[Probes]:
    """The flights of some cities, without the photographs of another hour."""
    network, _ = load_translator(packaged_path("translation"))
    found = []
    for name in names:
        frames = Frames.read(data / name / "frames.parquet")
        flights = frames.select((frames.table["camera"] != "probe").to_numpy(bool))
        found.append(Probes(Scenes(flights, 400), network))
    return found


def areas(cities: list[Probes], probe: str, beta: float) -> np.ndarray:
    """Each probe's nAUC."""
    return np.concatenate([city.curve(probe, beta).areas for city in cities])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    choosing, unseen = open_cities(data, CHOOSING), open_cities(data, UNSEEN_CITIES)
    lines = ["| probe | beta | nAUC (95 %) |", "|---|---:|---:|"]
    for probe, name in PROBES.items():
        beta = max(BETAS, key=lambda beta, probe=probe: areas(choosing, probe, beta).mean())
        found = areas(unseen, probe, beta)
        low, high = bootstrap_interval(found / 100)
        lines.append(f"| {name} | {beta:g} | {found.mean():.1f} ({low:.1f} to {high:.1f}) |")
        print(lines[-1], flush=True)
    chance = np.average([city.chance() for city in unseen], weights=[len(city.probes) for city in unseen])
    lines += [
        f"| a random order | | {chance:.1f} |",
        "",
        f"{len(found)} objects of flights by day over {len(unseen)} cities, probes drawn again. {machine()}",
    ]
    write_section(ROOT / "docs" / "uav.md", "equation1", "\n".join(lines))


if __name__ == "__main__":
    main()
