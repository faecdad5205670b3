"""What the city's vehicles could be told by: mAP of one who knows some of their traits without fail.

``python -m benchmarks.vehicle_bounds`` draws fleets as the preset ``vehicles`` does (64 vehicles, ten frames of
each before eight cameras), orders galleries by which traits agree, and writes docs/models.md. No frame is
rendered: it is what these traits alone give, whatever shows them. A network may read others, such as how warm
an engine is, and it reads none without fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from crossband.simulation.city import City, build_city
from crossband.simulation.traffic import FLEET, fleet_vehicle
from crossband.simulation.vehicles import Vehicle

from ._harness import ROOT, write_section

VEHICLES, FRAMES, CAMERAS, DRAWS, SEED = 64, 10, 8, 20, 3
Trait = Callable[[Vehicle], Any]

BODY: Sequence[Trait] = (lambda one: one.body, lambda one: one.load)
TOLD: dict[str, Sequence[Trait]] = {
    "body and load: what any view shows in every band": BODY,
    "and on which side the exhaust is (thermal, from behind)": (
        *BODY,
        lambda one: one.exhaust_side,
    ),
    "body, load, and the paint's near-infrared reflectance to 0.125": (*BODY, lambda one: int(one.nir * 8)),
    "body, load, and which of nine colors": (*BODY, lambda one: one.color),
    "and wheels and stripe": (*BODY, lambda one: one.color, lambda one: one.wheels, lambda one: one.stripe),
}


def mean_ap(city: City, traits: Sequence[Trait], rng: np.random.Generator) -> float:
    """mAP in percent of a drawn gallery; what agrees alike is ordered at random."""
    fleet = [fleet_vehicle(city, int(index)) for index in rng.permutation(FLEET)[:VEHICLES]]
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
    lines = ["| who knows without fail | mAP |", "|---|---:|"]
    for name, traits in TOLD.items():
        rng = np.random.default_rng(SEED)
        values = [mean_ap(city, traits, rng) for _ in range(DRAWS)]
        lines.append(f"| {name} | {np.mean(values):.1f} |")
    lines += ["", f"{DRAWS} fleets of {VEHICLES}, {FRAMES} frames each."]
    write_section(ROOT / "docs" / "models.md", "vehicle-bounds", "\n".join(lines))


if __name__ == "__main__":
    main()
