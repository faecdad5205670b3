"""What the city's vehicles could be told by: mAP of one who knows some of their traits without fail.

``python -m benchmarks.vehicle_bounds`` draws vehicles as the presets ``vehicles`` and ``fleet`` do (64 of them,
ten frames of each before eight cameras), orders galleries by which traits agree, and writes docs/models.md. No
frame is rendered: it is what these traits alone give, whatever shows them. A network may read others, such as
how warm an engine is, and it reads none without fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from crossband.simulation.city import City, build_city
from crossband.simulation.traffic import FLEET, fleet_vehicle, single_vehicle
from crossband.simulation.vehicles import Vehicle

from ._harness import ROOT, write_section

VEHICLES, FRAMES, CAMERAS, DRAWS, SEED = 64, 10, 8, 20, 3
Trait = Callable[[Vehicle], Any]

MAKE: Sequence[Trait] = (lambda one: one.body, lambda one: one.load, lambda one: one.make)
TOLD: dict[str, Sequence[Trait]] = {
    "type and load": MAKE[:2],
    "type, load and make: shapes, which every band shows": MAKE,
    "type, load, make and what sticks out: shapes too": (
        *MAKE,
        lambda one: tuple(extra.name for extra in one.extras if extra.name not in ("panel", "patch")),
    ),
    "type, load, make and the exhaust's side (thermal, from behind)": (
        *MAKE,
        lambda one: one.exhaust_side,
    ),
    "type, load, make and the paint's near-infrared reflectance to 0.125": (
        *MAKE,
        lambda one: int(one.nir * 8),
    ),
    "type, load, make and which of nine colors": (*MAKE, lambda one: one.color),
    "type, load, make, color, wheels and stripe": (
        *MAKE,
        lambda one: one.color,
        lambda one: one.wheels,
        lambda one: one.stripe,
    ),
}


def mean_ap(
    city: City, draw: Callable[[City, int], Vehicle], traits: Sequence[Trait], rng: np.random.Generator
) -> float:
    """mAP in percent of a drawn gallery; what agrees alike is ordered at random."""
    fleet = [draw(city, int(index)) for index in rng.permutation(FLEET)[:VEHICLES]]
    told = [tuple(trait(vehicle) for trait in traits) for vehicle in fleet]
    kinds = {one: number for number, one in enumerate(dict.fromkeys(told))}
    vehicle = np.repeat(np.arange(VEHICLES), FRAMES)
    kind = np.array([kinds[told[one]] for one in vehicle])
    camera = np.concatenate([np.resize(rng.permutation(CAMERAS), FRAMES) for _ in fleet])
    precisions = []
    for query in range(len(vehicle)):
        kept = (vehicle != vehicle[query]) | (camera != camera[query])
        worth = (kind[kept] == kind[query]) + 0.5 * rng.random(kept.sum())
        right = (vehicle[kept] == vehicle[query])[np.argsort(-worth)]
        precisions.append(float((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean()))
    return 100 * float(np.mean(precisions))


def main() -> None:
    city = build_city(SEED)
    lines = ["| who knows without fail | `vehicles` | `fleet` |", "|---|---:|---:|"]
    for name, traits in TOLD.items():
        values = []
        for draw in (fleet_vehicle, single_vehicle):
            rng = np.random.default_rng(SEED)
            values.append(np.mean([mean_ap(city, draw, traits, rng) for _ in range(DRAWS)]))
        lines.append(f"| {name} | {values[0]:.1f} | {values[1]:.1f} |")
    lines += ["", f"mAP over {DRAWS} draws of {VEHICLES} vehicles, {FRAMES} frames each."]
    write_section(ROOT / "docs" / "models.md", "vehicle-bounds", "\n".join(lines))


if __name__ == "__main__":
    main()
