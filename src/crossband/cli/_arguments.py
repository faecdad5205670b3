"""Arguments and options that several verbs have, and what reads their texts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ..errors import CrossbandError

if TYPE_CHECKING:
    from ..engines import Engine
    from ..frames import Frames
    from ..retrieval import Options


FramesArgument = Annotated[str, typer.Argument(metavar="FRAMES", help="a manifest, or a folder of images")]
RootOption = Annotated[
    Path | None, typer.Option(help="folder of the images, if not the one recorded in the manifest")
]
UnitsOption = Annotated[
    str | None, typer.Option(help="units of thermal pixels: counts, centikelvin, kelvin or celsius")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]
SizeOption = Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels to resize images to")]
WeightsOption = Annotated[Path | None, typer.Option(help="weights file, or a folder to search first")]
NormalizeOption = Annotated[
    list[str] | None,
    typer.Option("--normalize", help="BAND=NAME, as in tir=kelvin:263:313, tir=repeat8, nir=percentile"),
]
StandardizeOption = Annotated[
    bool,
    typer.Option("--set-statistics", help="standardize each band by its own mean and deviation in FRAMES"),
]
ViewOption = Annotated[
    list[str] | None,
    typer.Option("--view", help="BAND=LEFT,TOP,WIDTH,HEIGHT that the other band sees too; shares or pixels"),
]
TurnOption = Annotated[
    list[str] | None,
    typer.Option("--turn", help="BAND=90, 180, 270 (counterclockwise) or mirror, to be upright"),
]
RigOption = Annotated[
    Path | None,
    typer.Option("--rig", help="rig.json of crossband align: one band as the other's camera sees it"),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or auto")]
StoreOption = Annotated[
    Path | None, typer.Option(help="descriptor cache, shared by runs", envvar="CROSSBAND_STORE")
]
MemoryOption = Annotated[str, typer.Option("--max-memory", help="memory for distance blocks, as in 512M or 2G")]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="worker threads, which on a CPU also run the encoder; one per core by default"),
]
ModelsOption = Annotated[
    str, typer.Option(help="comma-separated descriptors; ENCODER[@LAYER][:POOLING[+center]] or a fitted file")
]
BandsQuery = Annotated[str, typer.Option(help="rgb, nir, tir or all")]
RerankOption = Annotated[
    int,
    typer.Option(min=0, help="first items of a list that are compared once more, by local features; 0: none"),
]
SequenceOption = Annotated[
    int | None,
    typer.Option(
        min=2, help="frames in time that a query is searched with, where queries and gallery are walks"
    ),
]
LikelyOption = Annotated[
    float, typer.Option(min=0, max=1, help="least probability of the same place that counts as found")
]
CslsOption = Annotated[
    bool, typer.Option("--csls", help="take off each item how near it is to everything (hubs)")
]
ProtocolOption = Annotated[str, typer.Option(help="what is right: exact, place, within:METERS or index:FRAMES")]
OverridesArgument = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="override a key")]
DataRootOption = Annotated[
    Path, typer.Option("--data-root", help="folder that the recipe's frames are relative to")
]
FlightArgument = Annotated[Path, typer.Argument(metavar="FLIGHT", help="a folder of frames, or a video")]
MapOption = Annotated[
    Path,
    typer.Option(
        "--map",
        help="a folder with tiles.json, a georeferenced label raster (GeoTIFF), or an extract of OpenStreetMap "
        "(GeoJSON, GeoPackage)",
    ),
]
ModelsFolderOption = Annotated[
    Path, typer.Option(help="folder of networks, as reproduce thermal-reid writes OUT/models")
]
RadiusOption = Annotated[float | None, typer.Option(help="search radius around each rough position, meters")]
WhereOption = Annotated[
    list[str] | None, typer.Option(help="COLUMN=VALUE of the flight's table; may be repeated")
]
_GALLERY = "a folder, s3://BUCKET/PREFIX (gs://, az://) or milvus://HOST:PORT/NAME"
GalleryOption = Annotated[str, typer.Option(help=f"the gallery: {_GALLERY}")]
GalleryArgument = Annotated[str, typer.Argument(help=_GALLERY)]
EngineOption = Annotated[
    str, typer.Option(help="who does the work: local, or ray, the workers of a Ray cluster")
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="of the Ray cluster, as HOST:PORT; RAY_ADDRESS, or one started here, without"),
]
GalleriesOption = Annotated[list[str], typer.Option(help=f"a gallery: {_GALLERY}; may be repeated")]


def takes(*kinds: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the options that dataclasses declare as fields; the verb gets each group as one value.

    Args:
        kinds: the dataclasses; one parameter of the verb is annotated with each.
    """

    def change(verb: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(verb).parameters
        hints = get_type_hints(verb, include_extras=True)
        groups = {name: hint for name, hint in hints.items() if hint in kinds}

        def run(**given: Any) -> None:
            made = {
                name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
                for name, kind in groups.items()
            }
            verb(**given, **made)

        parameters = []
        for name, parameter in own.items():
            if name not in groups:
                parameters.append(parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY))
                continue
            shared = get_type_hints(groups[name], include_extras=True)
            parameters += [
                inspect.Parameter(
                    field.name, parameter.KEYWORD_ONLY, default=field.default, annotation=shared[field.name]
                )
                for field in fields(groups[name])
            ]
        run.__name__, run.__doc__, run.__module__ = verb.__name__, verb.__doc__, verb.__module__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return change


@dataclass(frozen=True)
class Reading:
    """How a verb reads images and describes them."""

    size: SizeOption = "320x320"
    normalize: NormalizeOption = None
    set_statistics: StandardizeOption = False
    view: ViewOption = None
    turn: TurnOption = None
    rig: RigOption = None
    units: UnitsOption = None
    weights: WeightsOption = None
    device: DeviceOption = "auto"
    store: StoreOption = None

    def options(self, measured: Frames | list[Frames]) -> Options:
        """Return the options as the library has them; the frames' own statistics where that is wanted."""
        measure = measured if self.set_statistics else None
        return read_options(self.size, self.normalize, self.weights, self.device, measure, self.view, self.turn)


@dataclass(frozen=True)
class Working:
    """Who does the work of a verb."""

    engine: EngineOption = "local"
    address: AddressOption = None

    def open(self) -> Engine:
        """Open the engine; it is refused before any work."""
        from ..engines import open_engine

        return open_engine(self.engine, self.address)


@dataclass(frozen=True)
class BesideFlight:
    """What is known of a flight beside its own files."""

    log: Annotated[
        Path | None, typer.Option(help="flight: CSV or GPX of the aircraft, joined to the frames by time")
    ] = None
    clock: Annotated[
        float | None, typer.Option(help="flight: seconds from the frames' clock to the log's; found without")
    ] = None
    terrain: Annotated[
        Path | None, typer.Option(help="flight: GeoTIFF of elevations, meters; flat ground without")
    ] = None
    lens: Annotated[
        str | None, typer.Option(help="flight: distortion K1,K2,P1,P2 or K1,K2,P1,P2,K3, as OpenCV has it")
    ] = None

    def values(self) -> dict[str, Any]:
        """Return what the functions take by name."""
        return {"log": self.log, "clock": self.clock, "terrain": self.terrain, "lens": _numbers(self.lens)}


def _numbers(text: str | None) -> list[float] | None:
    """A lens, as numbers."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise CrossbandError(
            f"a lens is numbers, as in -0.2,0.05,0,0, not {text!r}", parameter="lens"
        ) from None


@dataclass(frozen=True)
class FramesReading(Reading):
    """Likewise, of one set of frames."""

    workers: WorkersOption = None
    root: RootOption = None

    def frames(self, source: str, band: str | None = None) -> Frames:
        """Open the frames of a manifest or a folder."""
        from ..datasets import open_frames

        return with_units(open_frames(source, self.root, band), self.units).with_rig(self.rig)

    def pieces(self, source: str, band: str | None = None) -> Iterator[Frames]:
        """Open them some at a time where the manifest is in several files, else all at once."""
        from ..datasets import is_partitioned, open_pieces

        if not is_partitioned(source):
            yield self.frames(source, band)
            return
        for frames in open_pieces(source, self.root):
            yield with_units(frames, self.units).with_rig(self.rig)


@dataclass(frozen=True)
class Comparing(FramesReading):
    """Likewise, of models that are compared, and how a right answer is told."""

    protocol: ProtocolOption = "exact"
    max_memory: MemoryOption = "2G"

    def run(
        self, source: str, models: str, query: str, gallery: str, out: Path
    ) -> tuple[Frames, dict[str, Any]]:
        """Return the frames, and what :func:`crossband.benchmark` and its like take by name."""
        from ..files import make_folder
        from ..retrieval.search import parse_memory

        frames = self.frames(source)
        options = self.options(frames)
        make_folder(out)
        return frames, {
            "models": model_names(models),
            "query": query,
            "gallery": gallery,
            "store": self.store or out / "store",
            "protocol": self.protocol,
            "options": options,
            "max_memory": parse_memory(self.max_memory),
            "workers": self.workers,
        }


def conditions(where: list[str] | None) -> dict[str, list[str]] | None:
    """Parse COLUMN=VALUE conditions; values of the same column are alternatives."""
    found: dict[str, list[str]] = {}
    for text in where or ():
        column, equals, value = text.partition("=")
        if not equals or not column:
            raise CrossbandError(f"--where takes COLUMN=VALUE, as in sequence=flight001, not {text!r}")
        found.setdefault(column, []).append(value)
    return found or None


def named_path(text: str) -> tuple[str, str]:
    """Split [NAME=]PATH into name and path.

    A name ends at the first ``=``, since a path may hold one too.

    Example:
        >>> named_path("both=out/lr=0.1/best.safetensors")
        ('both', 'out/lr=0.1/best.safetensors')
    """
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists() or "/" in name:
        return text, text
    return name, path


def model_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise CrossbandError("--models is empty; crossband models lists the models")
    return names


def listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def key_values(given: Iterable[str]) -> dict[str, Any]:
    """Parse KEY=VALUE pairs whose values are YAML."""
    from ..training.safe_yaml import parse_yaml

    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CrossbandError(f"a model option is KEY=VALUE, as in kernel_size=7, not {text!r}")
        found[key] = parse_yaml(value, f"the value of {text[:80]!r}")
    return found


def read_options(
    size: str,
    normalize: list[str] | None,
    weights: Path | None,
    device: str,
    measure: Frames | list[Frames] | None = None,
    view: list[str] | None = None,
    turn: list[str] | None = None,
) -> Options:
    from dataclasses import replace

    from ..bands import parse_band
    from ..data.preprocess import IMAGENET, Placement, measure_statistics
    from ..retrieval import Options

    sides = read_size(size)
    if not 16 <= min(sides) <= max(sides) <= 8192:
        raise CrossbandError(f"--size takes WIDTHxHEIGHT with sides from 16 to 8192, not {size!r}")
    names: dict[str, str] = {}
    for entry in normalize or ():
        band, equals, name = entry.partition("=")
        if not equals:
            raise CrossbandError(f"--normalize takes BAND=NAME, as in tir=percentile, not {entry!r}")
        names[parse_band(band)] = name
    rig = Placement.parse(turn or (), view or ())
    options = Options(sides, weights, names, device=device, rig=rig or None)
    if measure is None:
        return options
    return replace(options, statistics=measure_statistics(measure, options.preprocess(IMAGENET)))


def read_size(size: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT as (height, width); this order of the text is read here only."""
    try:
        width, height = (int(side) for side in size.lower().split("x"))
    except ValueError:
        raise CrossbandError(f"--size takes WIDTHxHEIGHT, as in 320x256, not {size!r}") from None
    return height, width


def with_units(frames: Frames, units: str | None) -> Frames:
    return frames if units is None else frames.assign(tir_units=units)
