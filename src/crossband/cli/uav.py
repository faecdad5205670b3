"""``translate``, ``localize`` and ``detect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import CrossbandError
from ._app import app
from ._arguments import (
    BesideFlight,
    DeviceOption,
    FlightArgument,
    JsonOption,
    MapOption,
    RadiusOption,
    UnitsOption,
    WhereOption,
    Working,
    conditions,
    takes,
)
from ._printing import print_json, print_table

_COARSEST = 1000.0  # centimeters of ground that a pixel shows, at most


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
    from ..uav.translate import translate, view_of

    made = translate(photo, model, out, flight=flight, ambient=ambient, device=device)
    print(f"{out}: centikelvin, ambient {made.ambient:.2f} K, possible {made.low:.1f} to {made.high:.1f} K")
    print(f"{view_of(out)}: in colors")


@app.command("localize")
@takes(BesideFlight)
def localize_(
    flight: FlightArgument,
    map_: MapOption,
    models: Annotated[
        Path | None,
        typer.Option(
            help="folder of networks, as reproduce thermal-reid writes OUT/models; packaged ones without"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for positions.jsonl; run again to resume")] = Path("uav"),
    radius: RadiusOption = None,
    where: WhereOption = None,
    device: DeviceOption = "cpu",
    *,
    beside: BesideFlight,
    as_json: JsonOption = False,
) -> None:
    """Localize each frame of a thermal flight on a map, from what it shows of the ground.

    Example: crossband localize flight --map map --models models --out uav
    """
    from ..uav.localize import localize

    found = localize(
        flight, map_, models, out, radius=radius, where=conditions(where), device=device, **beside.values()
    )
    if as_json:
        print_json([position.to_dict() for position in found])
    else:
        print_table(found.to_pandas()[["frame", "lat", "lon", "confidence"]])


@app.command("detect")
@takes(Working, BesideFlight)
def detect_(
    source: Annotated[
        list[Path], typer.Argument(metavar="SOURCE", help="pictures, a folder of them, a video, or a flight")
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
    least: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="score of an object, at least; 0.3 by default, of a flight 0.2"),
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="how many of what; of a sequence, each once")] = False,
    ground: Annotated[
        float | None,
        typer.Option(help="centimeters of ground that a pixel shows; overrides what the pictures say"),
    ] = None,
    units: UnitsOption = None,
    radius: RadiusOption = None,
    where: WhereOption = None,
    device: DeviceOption = "cpu",
    *,
    working: Working,
    beside: BesideFlight,
    as_json: JsonOption = False,
) -> None:
    """Find objects in thermal pictures.

    Boxes as a table, CSV and COCO, and pictures (or a video) with them drawn.

    Example: crossband detect thermal.jpg

    Example: crossband detect 0001.png 0002.png --out found

    Example: crossband detect video.mp4 --count --out found

    Example: crossband detect thermal.jpg --ground 12

    Example: crossband detect flight --map map --models models --out uav
    """
    import pandas as pd

    if ground is not None and not 0 < ground <= _COARSEST:
        raise CrossbandError(f"--ground must be more than 0 and at most {_COARSEST:g} cm, not {ground:g}")
    given: dict[str, Any] = {} if least is None else {"least": least}
    if models is None and map_ is None:
        from ..uav.pictures import detect_pictures

        if radius is not None or where or beside != BesideFlight():
            raise CrossbandError("--radius, --where, --log and the like are of a flight; give --models too")
        found = detect_pictures(
            source,
            checkpoint,
            out or Path("detected"),
            units=units,
            meters=None if ground is None else ground / 100,
            device=device,
            engine=working.open(),
            **given,
        )
        if as_json:
            print_json(found.counts if count else found.to_pandas().to_dict("records"))
            return
        print_table(pd.DataFrame([found.counts]) if count else found.to_pandas())
        boxes, pictures = len(found.to_pandas()), len(found.frames)
        of = f"{pictures} picture{'' if pictures == 1 else 's'}"
        print(f"{boxes} box{'' if boxes == 1 else 'es'} in {of}: {found.out}")
        return
    if working != Working():
        raise CrossbandError("a flight's stages follow one another on this machine; leave --engine out")
    if checkpoint is not None or count:
        raise CrossbandError(
            "a flight with a map takes its networks from --models; leave --checkpoint and --count out"
        )
    if ground is not None:
        raise CrossbandError("a flight knows how much ground a pixel shows; leave --ground out")
    if len(source) > 1:
        raise CrossbandError("a flight is one folder or one video; give one SOURCE")
    from ..uav.detect import detect

    objects = detect(
        source[0],
        models,
        map_,
        out or Path("uav"),
        radius=radius,
        where=conditions(where),
        device=device,
        **beside.values(),
        **given,
    )
    columns = ["frame", "class", "score", "left", "top", "right", "bottom"]
    rows = [
        {"class" if name == "kind" else name: value for name, value in one.to_dict().items()} for one in objects
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(pd.DataFrame(rows, columns=columns))
