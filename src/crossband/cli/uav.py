"""``translate``, ``localize`` and ``detect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import CrossbandError
from ._app import app
from ._arguments import (
    DeviceOption,
    FlightArgument,
    JsonOption,
    MapOption,
    ModelsFolderOption,
    RadiusOption,
    UnitsOption,
    WhereOption,
    conditions,
)
from ._printing import print_json, print_table

_MILD = 288.15  # kelvin, 15 degrees Celsius


@app.command("translate")
def translate_(
    photo: Annotated[Path, typer.Argument(help="a color photograph")],
    model: Annotated[
        Path | None, typer.Option(help="a checkpoint of the task translation; the packaged network without")
    ] = None,
    out: Annotated[Path, typer.Option(help="the image to write: 16-bit PNG, centikelvin")] = Path(
        "translated.png"
    ),
    flight: Annotated[Path | None, typer.Option(help="the flight whose temperature it is to have")] = None,
    ambient: Annotated[float | None, typer.Option(help="or that temperature, kelvin")] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Translate a color photograph into what a thermal camera would see.

    Example: crossband translate photo.jpg --flight flight --out probe.png
    """
    from ..models.packaged import checkpoint_for
    from ..progress import note
    from ..uav.flight import open_flight
    from ..uav.networks import load_translator
    from ..uav.translate import read_photograph, translate

    if flight is not None and ambient is not None:
        raise CrossbandError("a scene has one temperature; give --flight DIR or --ambient KELVIN, not both")
    network, _ = load_translator(checkpoint_for("translation", model, "--model"), device)
    if flight is None and ambient is None:
        note(f"a photograph has no temperature of its own: {_MILD} K is taken; --flight or --ambient says it")
        ambient = _MILD
    photograph = read_photograph(photo)
    level = open_flight(flight).ambient() if flight is not None else ambient or 0.0
    made = translate(photograph, network, level)
    print(
        f"{made.write(out)}: centikelvin, ambient {level:.2f} K, possible {made.low:.1f} to {made.high:.1f} K"
    )


@app.command("localize")
def localize_(
    flight: FlightArgument,
    map_: MapOption,
    models: ModelsFolderOption,
    out: Annotated[Path, typer.Option(help="folder for positions.jsonl; run again to resume")] = Path("uav"),
    radius: RadiusOption = None,
    where: WhereOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Localize each frame of a thermal flight on a map, from what it shows of the ground.

    Example: crossband localize flight --map map --models models --out uav
    """
    from dataclasses import asdict

    import pandas as pd

    from ..uav.flight import open_flight
    from ..uav.networks import Networks
    from ..uav.semantic_map import read_map
    from ..uav.stages import localize

    networks, frames, ground = Networks(models, device), open_flight(flight, conditions(where)), read_map(map_)
    found = localize(frames, ground, networks.labeler, networks.locator, out, radius)
    rows = [asdict(position) for position in found]
    if as_json:
        print_json(rows)
    else:
        print_table(pd.DataFrame(rows)[["frame", "lat", "lon", "confidence"]])


@app.command("detect")
def detect_(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="a picture, a folder of pictures, a video, or a flight")
    ],
    checkpoint: Annotated[
        Path | None, typer.Option(help="of the task detection; the packaged network without")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="flight: folder of networks, as reproduce thermal-reid writes OUT/models"),
    ] = None,
    map_: Annotated[
        Path | None, typer.Option("--map", help="flight: the map, for a network that reads it")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder to write, detected or uav by default; started again, it goes on")
    ] = None,
    least: Annotated[float, typer.Option(min=0, max=1, help="score of an object, at least")] = 0.3,
    count: Annotated[bool, typer.Option("--count", help="how many of what; of a sequence, each once")] = False,
    units: UnitsOption = None,
    radius: RadiusOption = None,
    where: WhereOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Objects in thermal pictures: boxes as a table, CSV and COCO, and pictures (or a video) with them drawn.

    Example: crossband detect thermal.jpg

    Example: crossband detect video.mp4 --count --out found

    Example: crossband detect flight --map map --models models --out uav
    """
    import pandas as pd

    if models is None and map_ is None:
        from ..uav.pictures import detect_pictures

        if radius is not None or where:
            raise CrossbandError("--radius and --where are of a flight; give --models too")
        found = detect_pictures(
            source, checkpoint, out or Path("detected"), least=least, units=units, device=device
        )
        if as_json:
            print_json(found.counts if count else found.table.to_dict("records"))
            return
        print_table(pd.DataFrame([found.counts]) if count else found.table)
        print(f"{len(found.table)} boxes in {len(found.frames)} pictures: {found.out}")
        return
    if checkpoint is not None or count:
        raise CrossbandError(
            "a flight with a map takes its networks from --models; leave --checkpoint and --count out"
        )
    _detect_flight(source, models, map_, out or Path("uav"), least, radius, where, device, as_json)


def _detect_flight(
    flight: Path,
    models: Path | None,
    map_: Path | None,
    out: Path,
    least: float,
    radius: float | None,
    where: list[str] | None,
    device: str,
    as_json: bool,
) -> None:
    import pandas as pd

    from ..uav.flight import open_flight
    from ..uav.networks import Networks
    from ..uav.semantic_map import read_map
    from ..uav.stages import align, detect, localize

    networks, frames, labels = Networks(models, device), open_flight(flight, conditions(where)), None
    if networks.detector.network.semantics and map_ is not None:
        ground = read_map(map_)
        positions = localize(frames, ground, networks.labeler, networks.locator, out, radius)
        labels = align(frames, ground, positions, out)
    found = detect(frames, networks.detector, out, labels, least)
    names = networks.detector.classes
    rows = [
        {
            "frame": frame,
            "class": names[int(box[5])],
            "score": float(box[4]),
            "left": float(box[0]),
            "top": float(box[1]),
            "right": float(box[2]),
            "bottom": float(box[3]),
        }
        for frame, boxes in zip(frames.names, found, strict=True)
        for box in boxes
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(pd.DataFrame(rows, columns=["frame", "class", "score", "left", "top", "right", "bottom"]))
