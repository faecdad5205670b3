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
    flight: Annotated[Path | None, typer.Option(help="the flight whose temperature it is to have")] = None,
    ambient: Annotated[float | None, typer.Option(help="or that temperature, kelvin")] = None,
    device: DeviceOption = "cpu",
) -> None:
    """What a thermal camera would see of a color photograph.

    Example: crossband translate photo.jpg --model translation.safetensors --flight flight --out probe.png
    """
    from ..uav.translate import translate

    if (flight is None) == (ambient is None):
        raise CrossbandError("a scene has no temperature of its own; give --flight DIR, or --ambient KELVIN")
    made = translate(photo, model, out, flight=flight, ambient=ambient, device=device)
    print(f"{out}: centikelvin, ambient {made.ambient:.2f} K, possible {made.low:.1f} to {made.high:.1f} K")


@app.command("localize")
def localize_(
    flight: FlightArgument,
    map_: MapOption,
    models: ModelsFolderOption,
    out: Annotated[Path, typer.Option(help="folder of positions.jsonl; started again, it goes on")] = Path(
        "uav"
    ),
    radius: RadiusOption = None,
    where: WhereOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Where each frame of a thermal flight was taken, from what the map says of the ground.

    Example: crossband localize flight --map map --models models --out uav
    """
    from ..uav.localize import localize

    found = localize(flight, map_, models, out, radius=radius, where=conditions(where), device=device)
    if as_json:
        print_json([position.to_dict() for position in found])
    else:
        print_table(found.to_pandas()[["frame", "lat", "lon", "confidence"]])


@app.command("detect")
def detect_(
    flight: FlightArgument,
    models: ModelsFolderOption,
    map_: Annotated[Path | None, typer.Option("--map", help="the map, for a network that reads it")] = None,
    out: Annotated[Path, typer.Option(help="folder of detections.jsonl; started again, it goes on")] = Path(
        "uav"
    ),
    least: Annotated[float, typer.Option(min=0, max=1, help="score of an object, at least")] = 0.2,
    radius: RadiusOption = None,
    where: WhereOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Objects in the frames of a thermal flight.

    Example: crossband detect flight --map map --models models --out uav
    """
    import pandas as pd

    from ..uav.detect import detect

    found = detect(
        flight, models, map_, out, least=least, radius=radius, where=conditions(where), device=device
    )
    columns = ["frame", "class", "score", "left", "top", "right", "bottom"]
    rows = [
        {"class" if name == "kind" else name: value for name, value in one.to_dict().items()} for one in found
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(pd.DataFrame(rows, columns=columns))
