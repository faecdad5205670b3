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
    WhereOption,
    conditions,
)
from ._printing import print_json, print_table


@app.command("translate")
def translate_(
    photo: Annotated[Path, typer.Argument(help="a color photograph")],
    model: Annotated[Path, typer.Option(help="a checkpoint of the task translation")],
    out: Annotated[Path, typer.Option(help="the image to write: 16-bit PNG, centikelvin")],
    flight: Annotated[Path | None, typer.Option(help="flight whose ambient temperature to use")] = None,
    ambient: Annotated[float | None, typer.Option(help="or the ambient temperature, kelvin")] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Translate a color photograph into what a thermal camera would see.

    Example: crossband translate photo.jpg --model translation.safetensors --flight flight --out probe.png
    """
    from ..uav.flight import open_flight
    from ..uav.networks import load_translator
    from ..uav.translate import read_photograph, translate

    if (flight is None) == (ambient is None):
        raise CrossbandError(
            "a photograph carries no ambient temperature; give --flight DIR, or --ambient KELVIN"
        )
    photograph = read_photograph(photo)
    level = open_flight(flight).ambient() if flight is not None else ambient or 0.0
    made = translate(photograph, load_translator(model, device)[0], level)
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
    flight: FlightArgument,
    models: ModelsFolderOption,
    map_: Annotated[Path | None, typer.Option("--map", help="the map, for a network that reads it")] = None,
    out: Annotated[Path, typer.Option(help="folder for detections.jsonl; run again to resume")] = Path("uav"),
    least: Annotated[float, typer.Option(min=0, max=1, help="lowest score of an object")] = 0.2,
    radius: RadiusOption = None,
    where: WhereOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Detect objects in the frames of a thermal flight.

    Example: crossband detect flight --map map --models models --out uav
    """
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
