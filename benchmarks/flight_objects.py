"""A photograph searched in a thermal flight, the whole chain, measured in unseen cities.

``python -m benchmarks.flight_objects DATA WORK --choose`` calibrates what ranks objects on the cities that
choose, and writes it into the package; without ``--choose`` the unseen cities are measured, and docs/uav.md is
written. Cities that DATA lacks are simulated into it, with thermal images of 320x256 and of 640x512. WORK keeps
the stages of each flight, so that another run takes what is there.

A photograph is a color frame by day with the box of an object in it: of another hour than the flight (``other
hour``), or of a flight by day itself, whose frame is then left out of the search (``same flight``). The same is
asked with the photograph cut out around the object. Rough positions are wrong by up to 60 m. An object that the
flight shows in another frame, and that no detection holds, is missed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossband.data.scenes import Scenes, sides_of
from crossband.frames import Frames
from crossband.metrics.detection import match_boxes
from crossband.uav.evaluation import LAST_RANK, LEAST_SIDE
from crossband.uav.flight import open_flight, poses_of, with_rough_positions
from crossband.uav.networks import Networks
from crossband.uav.object_class import read_object_classes
from crossband.uav.object_descriptor import ObjectDescriptor, View, load_object_descriptor
from crossband.uav.object_ranking import Evidence, Known, RankWeights, fit_weights, object_probabilities
from crossband.uav.object_stage import Described, FlightObjects, describe, join, object_length
from crossband.uav.pipeline import LEAST, compare, photograph_views
from crossband.uav.projection import Pose
from crossband.uav.semantic_map import read_map
from crossband.uav.sequence_stage import RADIUS, locate_flight
from crossband.uav.stage_evaluation import cut_out
from crossband.uav.stages import detect
from crossband.uav.translate import Photograph

from ._harness import ROOT, machine, write_section
from .flight import LARGE, SMALL, Rendered

CHOOSING = [
    *(Rendered(f"flight120_{seed}", seed, 120, SMALL) for seed in (621, 622, 623)),
    *(Rendered(f"flight640_{seed}", seed, 36, LARGE) for seed in (621, 622, 623)),
]
MEASURED = {
    "320x256": [Rendered(f"flight120_{seed}", seed, 120, SMALL) for seed in (631, 632, 633)],
    "640x512": [Rendered(f"flight640_{seed}", seed, 60, LARGE) for seed in (631, 632, 633)],
}
ROUGH = 60.0
_DRAWS = 1000


@dataclass(frozen=True)
class Seen:
    """A flight with what the chain made of it, and the truth.

    Attributes:
        name: city and flight.
        seed: of the city.
        scenes: of its frames.
        rows: of the flight's frames in the city's.
        objects: that were found.
        described: of each frame's boxes, in each view.
        instances: of each frame's boxes, -1 for none.
        poses: the true ones of all frames of the city.
        classes: of the detector.
        probes: (kind, row in the city, number of the box).
    """

    name: str
    seed: int
    scenes: Scenes
    rows: list[int]
    objects: FlightObjects
    described: dict[View, list[Described]]
    instances: list[np.ndarray]
    poses: list[Pose]
    classes: list[str]
    probes: list[tuple[str, int, int]]

    def without(self, row: int) -> FlightObjects:
        """The objects as if a frame had not been taken."""
        if row not in self.rows:
            return self.objects
        gone = self.rows.index(row)
        kept = []
        for one in self.objects.objects:
            seen = tuple(place for place in one.seen if place[0] != gone)
            if seen:
                kept.append(replace(one, seen=seen))
        return replace(self.objects, objects=kept)

    def instance(self, row: int, number: int) -> int:
        """The instance of a true box."""
        return int(self.scenes.boxes[row][number][5])

    def shows(self, instance: int, but: int) -> bool:
        """Whether another frame of the flight shows an instance."""
        return any(row != but and (self.scenes.boxes[row][:, 5] == instance).any() for row in self.rows)

    def which(self, objects: FlightObjects) -> np.ndarray:
        """The instance of each object: that of most of its boxes."""
        found = []
        for one in objects.objects:
            numbers = [int(self.instances[row][n]) for row, n in one.seen]
            found.append(max(set(numbers), key=numbers.count))
        return np.array(found, int)


def open_city(
    data: Path, rendered: Rendered, work: Path, networks: Networks, descriptor: ObjectDescriptor
) -> Iterator[Seen]:
    """Run the stages over each flight of a city."""
    frames, city = Frames.read(rendered.below(data) / "frames.parquet"), rendered.name
    scenes, ground = Scenes(frames), read_map(data / city)
    height, width = scenes.pixels(0, "tir").shape[:2]
    table, poses = frames.table, poses_of(frames, ground, (height, width))
    for part in sorted(name for name in table["sequence"].unique() if name.startswith("flight")):
        given = open_flight(data / city, {"sequence": [part]})
        rows = np.flatnonzero((table["sequence"] == part).to_numpy(bool)).tolist()
        folder = work / f"{city}-{part}"
        rough = with_rough_positions(given, ground, ROUGH)
        positions = locate_flight(rough, ground, networks.labeler, folder, RADIUS + 9)
        found = detect(rough, networks.detector, folder, least=LEAST)
        described = {view: describe(rough, found, descriptor, folder, view) for view in View}
        sizes = [one.size for one in described[View.BARE]]
        objects = join(rough, ground, positions, found, sizes)
        instances = []
        for row, boxes in zip(rows, found, strict=True):
            true = scenes.boxes[row]
            which = match_boxes(true, boxes) if len(boxes) else []
            instances.append(np.array([int(true[i][5]) if i >= 0 else -1 for i in which], int))
        name, classes = f"{city} {part}", networks.detector.classes
        one = Seen(name, rendered.seed, scenes, rows, objects, described, instances, poses, classes, [])
        yield replace(one, probes=_probes(one, part))


def _probes(seen: Seen, part: str) -> list[tuple[str, int, int]]:
    """The largest color view of each object that the flight shows in another frame."""
    table = seen.scenes.frames.table
    other = np.flatnonzero((table["sequence"] == part.replace("flight", "probe")).to_numpy(bool)).tolist()
    by_day = seen.rows if table["condition"].iloc[seen.rows[0]] == "day" else []
    best: dict[tuple[str, int], tuple[float, int, int]] = {}
    for kind, rows in (("other hour", other), ("same flight", by_day)):
        for row in rows:
            for number, box in enumerate(seen.scenes.boxes[row]):
                instance, area = int(box[5]), float(np.prod(sides_of(box)))
                if min(sides_of(box)) < LEAST_SIDE or not seen.shows(instance, row):
                    continue
                if area > best.get((kind, instance), (0.0, 0, 0))[0]:
                    best[kind, instance] = (area, row, number)
    return [(kind, row, number) for (kind, _), (_, row, number) in sorted(best.items())]


@dataclass(frozen=True)
class Asked:
    """A photograph, and its object.

    Attributes:
        row: of the frame in the city's.
        number: of the true box in it.
        kind: of the photograph.
        views: of :func:`photograph_views`.
        length: of the object, meters: the photograph says from how high it was taken.
        likely: how likely it shows each class of the detector.
    """

    row: int
    number: int
    kind: str
    views: dict[View, np.ndarray]
    length: float
    likely: np.ndarray


def photographs(seen: Seen, descriptor: ObjectDescriptor, cut: bool) -> list[Asked]:
    """A flight's photographs: the frames with the objects' boxes, or ``cut`` out around them."""
    found = []
    for kind, row, number in seen.probes:
        box = seen.scenes.boxes[row][number]
        whole = Photograph(seen.scenes.color(row), tuple(map(float, box[:4])))
        one = cut_out(seen.scenes, (row, number)) if cut else whole
        views = photograph_views(one, descriptor)
        likely = read_object_classes().likely(views, seen.classes)
        found.append(Asked(row, number, kind, views, object_length(box, seen.poses[row]), likely))
    return found


def of_another_city(flights: list[Seen], place: int) -> Seen:
    """A flight over another city: what is not in a flight is not to stand on ground that it shows."""
    others = [one for one in flights if one.seed != flights[place].seed]
    return others[place % len(others)]


def evidence(seen: Seen, asked: Asked, own: bool) -> tuple[FlightObjects, Evidence]:
    """What is known of the objects of a flight beside a photograph, its ``own`` or another's."""
    objects = seen.without(asked.row) if own else seen.objects
    vectors = {view: [one.vectors for one in seen.described[view]] for view in asked.views}
    return objects, compare(objects, vectors, asked.views, asked.length, asked.likely)[1]


def choose(cities: list[Seen], descriptor: ObjectDescriptor, detector: str) -> RankWeights:
    """Calibrate on flights that choose; photographs of both kinds weigh alike, however many there are."""
    probes = [kind for seen in cities for kind, _, _ in seen.probes]
    known = []
    for place, seen in enumerate(cities):
        elsewhere = of_another_city(cities, place)
        for asked in [*photographs(seen, descriptor, False), *photographs(seen, descriptor, True)]:
            weight = len(probes) / 2 / probes.count(asked.kind)
            objects, said = evidence(seen, asked, True)
            right = np.flatnonzero(seen.which(objects) == seen.instance(asked.row, asked.number))
            if len(right):
                known.append(Known(said, int(right[said.alike[right].argmax()]), weight))
            objects, said = evidence(elsewhere, asked, False)
            if len(objects.objects):
                known.append(Known(said, None, weight))
    # photographs that show an object's surroundings and not its place are as those that show both
    less = [
        replace(one, evidence=one.evidence.without_place()) for one in known if one.evidence.place is not None
    ]
    print(f"{sum(one.right is not None for one in known)} of {len(known)} with their object")
    return replace(fit_weights(known, less), made_by=(detector, descriptor.digest))


@dataclass(frozen=True)
class Answer:
    """One photograph.

    Attributes:
        kind: of the photograph; ``flight`` its flight.
        flight: see ``kind``.
        rank: of the right object, from 1; beyond the last where it was missed.
        unsized: the same where the length of the photograph's object is not known.
        meters: of the right object from its true place, ``None`` where it was missed.
        inside: whether its ellipse of 90 % holds that.
        there: the probability in its own flight; ``elsewhere`` in another.
        elsewhere: see ``there``.
    """

    kind: str
    flight: str
    rank: int
    unsized: int
    meters: float | None
    inside: bool
    there: float
    elsewhere: float


def measure(cities: list[Seen], descriptor: ObjectDescriptor, weights: RankWeights, cut: bool) -> list[Answer]:
    """Search every photograph in its own flight, and in another one."""
    found = []
    for place, seen in enumerate(cities):
        elsewhere = of_another_city(cities, place)
        asked = photographs(seen, descriptor, cut)
        for (kind, _, _), one in zip(seen.probes, asked, strict=True):
            objects, said = evidence(seen, one, True)
            probabilities, there = object_probabilities(said, weights)
            right = np.zeros(len(probabilities), bool)
            if len(probabilities):
                right = seen.which(objects) == seen.instance(one.row, one.number)
            unknown = object_probabilities(replace(said, length=np.zeros(len(right))), weights)[0]
            meters, inside = None, False
            if right.any():
                best = int(np.where(right, probabilities, -1.0).argmax())
                meters, inside = _error(seen, objects, best, one.row, one.number)
            away = object_probabilities(evidence(elsewhere, one, False)[1], weights)[1]
            ranks = rank_of(right, probabilities), rank_of(right, unknown)
            found.append(Answer(kind, seen.name, *ranks, meters, inside, there, away))
    return found


def rank_of(right: np.ndarray, worth: np.ndarray) -> int:
    """The rank of the best right object; beyond the last where there is none."""
    if not right.any():
        return LAST_RANK + 1
    return 1 + int((~right & (worth >= worth[right].max())).sum())


def _error(seen: Seen, objects: FlightObjects, number: int, row: int, probe: int) -> tuple[float, bool]:
    """Meters of an object from its true place where it was seen last, and whether its ellipse holds that."""
    one = objects.objects[number]
    instance = seen.instance(row, probe)
    frame = next(f for f, n in reversed(one.seen) if seen.instances[f][n] == instance)
    box = next(box for box in seen.scenes.boxes[seen.rows[frame]] if int(box[5]) == instance)
    x, y = seen.poses[seen.rows[frame]].to_ground((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    off = np.array([one.x - float(x), one.y - float(y)])
    return float(np.hypot(*off)), bool(off @ np.linalg.solve(one.covariance, off) <= 4.605)


def interval(values: list[np.ndarray], figure: str) -> str:
    """A figure of all flights with its interval, flights drawn again."""
    function = {"mean": np.mean, "median": np.median}[figure]
    rng = np.random.default_rng(0)
    drawn = [
        function(np.concatenate([values[i] for i in rng.integers(len(values), size=len(values))]))
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{function(np.concatenate(values)):.1f} ({low:.1f} to {high:.1f})"


def table(whole: list[Answer], cut: list[Answer]) -> str:
    """The figures of each kind of photograph."""
    lines = [
        "| figure | photograph of another hour | cut out | of the same flight | cut out |",
        "|---|---:|---:|---:|---:|",
    ]
    columns = []
    for kind, answers in [(kind, one) for kind in ("other hour", "same flight") for one in (whole, cut)]:
        own = [one for one in answers if one.kind == kind]
        flights = [[one for one in own if one.flight == name] for name in dict.fromkeys(o.flight for o in own)]

        def areas(rank: str, flights: list[list[Answer]] = flights) -> list[np.ndarray]:
            steps = np.arange(1, LAST_RANK + 1)
            return [np.array([100 * np.mean(steps >= getattr(o, rank)) for o in part]) for part in flights]

        placed = [np.array([o.meters for o in part if o.meters is not None]) for part in flights]
        placed = [part for part in placed if len(part)]
        sure = [
            np.concatenate(
                [
                    100.0 * np.array([o.there >= 0.5 for o in part]),
                    100.0 * np.array([o.elsewhere < 0.5 for o in part]),
                ]
            )
            for part in flights
        ]
        first = [100.0 * np.array([o.rank == 1 for o in part]) for part in flights]
        held = 100 * np.mean([o.inside for o in own if o.meters is not None]) if placed else float("nan")
        columns.append(
            [
                f"{len(own)} in {len(flights)} flights",
                f"{100 * np.mean([o.meters is not None for o in own]):.0f} %",
                interval(areas("rank"), "mean"),
                interval(areas("unsized"), "mean"),
                interval(first, "mean"),
                interval(placed, "median") if placed else "-",
                f"{held:.0f} %",
                interval(sure, "mean"),
            ]
        )
    names = (
        "photographs",
        "their object was detected in another frame",
        "nAUC of ranks 1 to 20 of objects, a missed one counts; length known from the photograph's altitude",
        "the same, length not known",
        "first of all objects, %",
        "position of the right object, median error, m",
        "its ellipse of 90 % holds it",
        '"there" or "not there" right, balanced, %',
    )
    lines += [f"| {' | '.join(cells)} |" for cells in zip(names, *columns, strict=True)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--choose", action="store_true", help="calibrate, on the cities that choose")
    given = parser.parse_args()
    networks, descriptor = Networks(None), load_object_descriptor()

    def opened(cities: list[Rendered]) -> list[Seen]:
        return [one for city in cities for one in open_city(given.data, city, given.work, networks, descriptor)]

    def tables(flights: list[Seen], weights: RankWeights) -> str:
        return table(*(measure(flights, descriptor, weights, cut) for cut in (False, True)))

    if given.choose:
        flights = opened(CHOOSING)
        weights = choose(flights, descriptor, networks.detector.digest)
        weights.write()
        print(weights.share, weights.there)
        return
    parts = []
    for size, cities in MEASURED.items():
        flights = opened(cities)
        objects = np.mean([len(one.objects.objects) for one in flights])
        parts += [
            f"**Thermal images of {size}**, {len(flights)} flights of 10 frames over {len(cities)} cities, "
            f"{objects:.0f} objects in each on average:",
            tables(flights, RankWeights.read()),
        ]
    text = "\n\n".join([*parts, machine()])
    write_section(ROOT / "docs" / "uav.md", "objects", text)
    print(text)


if __name__ == "__main__":
    main()
