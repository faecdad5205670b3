"""All simulated flights that the packaged models learn from, are chosen by and are measured on, by one command.

``python -m benchmarks.flight_data DATA`` renders into DATA what is missing of the flights that the recipes in
recipes/models name, and of those that the benchmarks of flights read; stopped, it goes on where it was. Then
it writes docs/models.md. With ``--list`` it only prints the table. HIT-UAV, which detection learns from too, is
not simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from crossband.data.parts import Part
from crossband.progress import note
from crossband.training import read_recipe

from . import equation1, flight_objects
from ._harness import ROOT, write_section
from .flight import MISALIGNED, SMALL, Rendered
from .model_figures import UNSEEN_CITIES

RECIPES = ROOT / "recipes" / "models"
ROLES = {"learn": "to learn", "choose": "to choose", "measure": "to measure, never to choose"}


def of_recipes() -> Iterator[tuple[Rendered, str, str]]:
    """Each folder that the recipes name, its role, and whose it is."""
    for path in sorted(RECIPES.glob("*.yaml")):
        data: Any = read_recipe(path).data
        for role, part in (
            ("learn", data.train),
            ("choose", data.val),
            *(("measure", t) for t in data.test.values()),
        ):
            for one in [part, *part.also] if isinstance(part, Part) else []:
                made = one.simulate
                if made is not None and made.preset == "flight":
                    city = Rendered(one.frames, made.seed, made.frames, made.size)
                    yield city, role, path.stem.partition("_")[0]


def of_benchmarks() -> Iterator[tuple[Rendered, str, str]]:
    """Each folder that the benchmarks of flights read, its role, and whose it is."""
    for one in flight_objects.CHOOSING:
        yield one, "choose", "the chain"
    for cities in flight_objects.MEASURED.values():
        for one in cities:
            yield one, "measure", "the chain"
    for role, names in (("choose", equation1.CHOOSING), ("measure", UNSEEN_CITIES)):
        for name in names:
            yield Rendered(name, int(name.rpartition("_")[2]), 60, SMALL), role, "equation (1)"
    for name in UNSEEN_CITIES:
        yield Rendered(name, int(name.rpartition("_")[2]), 60, SMALL), "measure", "positions"
    for one in MISALIGNED:
        yield one, "measure", "alignment"


def uses() -> dict[Rendered, tuple[str, tuple[str, ...]]]:
    """Each folder with its role and whose it is, those to learn from first.

    Raises:
        ValueError: a folder that is simulated in two ways, or a city with two roles.
    """
    found: dict[Rendered, tuple[str, list[str]]] = {}
    cities: dict[int, str] = {}
    for one, role, whose in [*of_recipes(), *of_benchmarks()]:
        if cities.setdefault(one.seed, role) != role:
            raise ValueError(f"city {one.seed} is there to {cities[one.seed]}, and to {role} in {one.name}")
        names = found.setdefault(one, (role, []))[1]
        if whose not in names:
            names.append(whose)
    if len({one.name for one in found}) < len(found):
        raise ValueError("a folder is to be simulated in two ways")
    order = sorted(found, key=lambda one: (list(ROLES).index(found[one][0]), _kind(one), one.seed))
    return {one: (found[one][0], tuple(sorted(found[one][1]))) for one in order}


def _kind(one: Rendered) -> str:
    """The name without the city."""
    return one.name.rpartition("_")[0]


def table(known: dict[Rendered, tuple[str, tuple[str, ...]]]) -> str:
    """Folders that are alike in a row, and the totals."""
    lines = ["| folders | cities | frames | size | to | of |", "|---|---:|---:|---|---|---|"]
    for (_, size, role, whose), group in groupby(known, lambda one: (_kind(one), one.size, *known[one])):
        row = list(group)
        frames = f"{sum(one.frames for one in row):,}"
        pixels = f"{size[1]}x{size[0]}{', thermal camera beside' if row[0].misaligned else ''}"
        lines.append(f"| {_names(row)} | {len(row)} | {frames} | {pixels} | {role} | {', '.join(whose)} |")
    lines.append(f"| all | {len({one.seed for one in known})} | {sum(one.frames for one in known):,} | | | |")
    parts = []
    for role, words in ROLES.items():
        mine = [one for one in known if known[one][0] == role]
        cities = len({one.seed for one in mine})
        parts.append(f"{sum(one.frames for one in mine):,} {words} (cities: {cities})")
    return "\n".join([*lines, "", f"{sum(one.frames for one in known):,} frames: {'; '.join(parts)}."])


def _names(row: list[Rendered]) -> str:
    """The folders' names, those of consecutive cities as a range."""
    spans: list[list[int]] = []
    for one in row:
        if spans and one.seed == spans[-1][1] + 1:
            spans[-1][1] = one.seed
        else:
            spans.append([one.seed, one.seed])
    said = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in spans)
    return f"`{_kind(row[0])}_` {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--list", action="store_true", help="print the table, and what is missing; render nothing"
    )
    given = parser.parse_args()
    known = uses()
    missing = [one for one in known if not (given.data / one.name / "frames.parquet").is_file()]
    if not given.list:
        for number, one in enumerate(missing, start=1):
            note(f"{one.name}, {number} of {len(missing)}: {one.frames} frames of {one.size[1]}x{one.size[0]}")
            one.below(given.data)
        write_section(ROOT / "docs" / "models.md", "flight-data", table(known))
    print(table(known))
    if given.list:
        frames = sum(one.frames for one in missing)
        print(f"\nmissing in {given.data}: {len(missing)} of {len(known)} folders, {frames:,} frames")


if __name__ == "__main__":
    main()
