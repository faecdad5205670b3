"""The command line: each verb is a thin call of the public function with the same name.

Results go to standard output, progress and remarks to standard error. The exit status is 0, or 2 with one
sentence that says what is wrong and the mend.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .allocator import keep_freed_memory
from .errors import CrossbandError, unknown_name

if TYPE_CHECKING:
    from .frames import Frames
    from .retrieval import Options

__all__ = ["app", "main"]

_LONGEST_NAME = 200

app = typer.Typer(
    name="crossband",
    help="Find the same place, scene or object across visible, near-infrared and thermal images.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
)  # fmt: skip
data_app = typer.Typer(help="Make and check manifests.", no_args_is_help=True)
gallery_app = typer.Typer(help="Look after a gallery.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(gallery_app, name="gallery")

FramesArgument = Annotated[str, typer.Argument(metavar="FRAMES", help="a manifest, or a folder of images")]
RootOption = Annotated[Path | None, typer.Option(help="the folder of the images, if not the one recorded")]
UnitsOption = Annotated[
    str | None, typer.Option(help="what thermal pixels count: counts, centikelvin, kelvin or celsius")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for a program to read")]
SizeOption = Annotated[str, typer.Option(help="WIDTHxHEIGHT that images are resized to")]
WeightsOption = Annotated[Path | None, typer.Option(help="a weights file, or a folder to look in first")]
NormaliseOption = Annotated[
    list[str] | None,
    typer.Option("--normalise", help="BAND=NAME, as in tir=kelvin:263:313, tir=repeat8, nir=percentile"),
]
StandardiseOption = Annotated[
    bool,
    typer.Option("--set-statistics", help="standardise each band by its own mean and deviation in FRAMES"),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or auto")]
StoreOption = Annotated[
    Path | None, typer.Option(help="folder of stored descriptors, shared by runs", envvar="CROSSBAND_STORE")
]
MemoryOption = Annotated[str, typer.Option("--max-memory", help="memory for distances, as in 512M or 2G")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="reading threads, which on a CPU run the encoder too; one a core")
]
ModelsOption = Annotated[
    str, typer.Option(help="comma-separated descriptors; ENCODER[@LAYER][:POOLING[+centre]] or a fitted file")
]
BandsQuery = Annotated[str, typer.Option(help="rgb, nir, tir or all")]
ProtocolOption = Annotated[str, typer.Option(help="what is right: exact, place or within:METRES")]
OverridesArgument = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="override a key")]
DataRootOption = Annotated[
    Path, typer.Option("--data-root", help="the folder a recipe's frames are relative to")
]
FlightArgument = Annotated[Path, typer.Argument(metavar="FLIGHT", help="a folder of frames, or a video")]
MapOption = Annotated[
    Path, typer.Option("--map", help="a folder with tiles.json, or a georeferenced label raster (GeoTIFF)")
]
ModelsFolderOption = Annotated[
    Path, typer.Option(help="folder of networks, as reproduce thermal-reid writes OUT/models")
]
RadiusOption = Annotated[float | None, typer.Option(help="metres searched around each rough position")]
WhereOption = Annotated[
    list[str] | None, typer.Option(help="COLUMN=VALUE of the flight's table; may be repeated")
]
GalleryOption = Annotated[Path, typer.Option(help="the gallery's folder")]


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit status 2."""
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(prog_name="crossband", standalone_mode=False)
        if status == 130:  # how typer passes on Ctrl-C
            print("crossband: stopped; the same command continues where it was", file=sys.stderr)
        sys.exit(status)
    except CrossbandError as error:
        print(f"crossband: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
        print(f"crossband: {shown}: {error.strerror}; mend that, or name another file", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer's own refusals have, whatever its version
            raise
        _refuse(error)


def _refuse(error: Any) -> None:
    """One sentence for an option or a verb that is wrong; nothing more where typer has shown the help."""
    message = " ".join(error.format_message().split()).rstrip(".?")
    context = getattr(error, "ctx", None)
    if message:
        where = context.command_path if context is not None else "crossband"
        print(f"crossband: {message}; {where} --help shows what there is", file=sys.stderr)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        from . import __version__

        print(__version__)
        raise typer.Exit


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="a folder of real pairs to use instead")] = None,
    out: Annotated[Path, typer.Option(help="where results go")] = Path("crossband-demo"),
    models: ModelsOption = "crossband,hog",
    weights: WeightsOption = None,
) -> None:
    """The main job, from nothing: pairs of the simulated city, or your own, to a table and report.html.

    Example: crossband demo --data my_pairs --out demo
    """
    from .demo import demo as run

    _print_table(run(data, out, _names(models), weights).to_display())
    print(f"report: {out / 'report.html'}")


@data_app.command("scan")
def data_scan(
    root: Annotated[Path | None, typer.Argument(help="a folder: a known dataset, or your own images")] = None,
    out: Annotated[Path | None, typer.Option(help="the manifest to write, .parquet or .csv")] = None,
    kind: Annotated[str | None, typer.Option(help="the dataset, where it is not recognised")] = None,
    rgb: Annotated[Path | None, typer.Option(help="the folder of RGB images")] = None,
    nir: Annotated[Path | None, typer.Option(help="the folder of near-infrared images")] = None,
    tir: Annotated[Path | None, typer.Option(help="the folder of thermal images")] = None,
    rgb_suffix: Annotated[str | None, typer.Option(help="end of the stem of RGB images, as in _rgb")] = None,
    nir_suffix: Annotated[str | None, typer.Option(help="the same for near infrared")] = None,
    tir_suffix: Annotated[str | None, typer.Option(help="the same for thermal")] = None,
    every: Annotated[int, typer.Option(min=1, help="keep each n-th frame of a sequence")] = 1,
    units: UnitsOption = None,
) -> None:
    """Turn a folder into a manifest: one row a frame, one image path a band.

    Example: crossband data scan recordings --out recordings/frames.parquet
    """
    from .datasets import scan

    given = {"rgb": rgb_suffix, "nir": nir_suffix, "tir": tir_suffix}
    suffixes = {band: suffix for band, suffix in given.items() if suffix}
    frames = scan(root, kind=kind, rgb=rgb, nir=nir, tir=tir, suffixes=suffixes or None, every=every)
    frames = _with_units(frames, units)
    path = frames.write(out or frames.root / "frames.parquet")
    counts = ", ".join(f"{int(frames.table[band.value].notna().sum())} {band.value}" for band in frames.bands)
    print(f"{path}: {len(frames)} frames, {counts}")


@data_app.command("check")
def data_check(source: FramesArgument, root: RootOption = None, as_json: JsonOption = False) -> None:
    """List every fault of every image: missing, damaged, of the wrong size, constant, twice there.

    The exit status is 2 when there is a fault.

    Example: crossband data check recordings/frames.parquet
    """
    from .audit import check_frames
    from .datasets import open_frames

    audit = check_frames(open_frames(source, root))
    table = audit.to_table()
    if as_json:
        _print_json({"frames": audit.n_frames, "images": audit.n_images, "faults": table.to_dict("records")})
    else:
        for fault in audit.faults:
            print(f"{fault.path}: {fault.kind}: {fault.reason}")
        print(f"{audit.n_images} images of {audit.n_frames} frames, {len(audit.faults)} faults")
    if audit.faults:
        raise CrossbandError(
            f"{len(audit.faults)} faults in {source}; mend those files, or let runs leave them out"
        )


@app.command()
def benchmark(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: BandsQuery = "all",
    gallery: BandsQuery = "all",
    out: Annotated[Path, typer.Option(help="where results.json, results.csv and report.html go")] = Path(
        "crossband-out"
    ),
    protocol: ProtocolOption = "exact",
    misaligned: Annotated[bool, typer.Option(help="also measure with one band moved")] = True,
    own_means: Annotated[
        bool,
        typer.Option("--own-means/--model-means", help="centre by whose band means"),
    ] = True,
    rerank: Annotated[
        int | None,
        typer.Option(min=1, help="items of each list that models with a second look (patch_netvlad) re-rank"),
    ] = None,
    size: SizeOption = "320x320",
    normalise: NormaliseOption = None,
    set_statistics: StandardiseOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    max_memory: MemoryOption = "2G",
    workers: WorkersOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which model finds the right image in the other band? All directions, from one pass a model.

    Example: crossband benchmark recordings --models crossband,hog --query rgb --gallery tir --out results
    """
    from .datasets import open_frames
    from .files import make_folder
    from .reports.html import write_report
    from .retrieval import benchmark as run
    from .retrieval.search import parse_memory

    frames = _with_units(open_frames(source, root), units)
    options = _options(size, normalise, weights, device, frames if set_statistics else None)
    make_folder(out)
    result = run(
        frames, _names(models), query, gallery, store=store or out / "store", protocol=protocol,
        misaligned=misaligned, own_means=own_means, rerank=rerank, options=options,
        max_memory=parse_memory(max_memory), workers=workers,
    )  # fmt: skip
    result.write(out)
    report = write_report(result, frames, out)
    if as_json:
        _print_json(result.to_json())
    else:
        _print_table(result.to_display())
        print(f"report: {report}")


@app.command()
def explain(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: Annotated[str, typer.Option(help="a band")] = "rgb",
    gallery: Annotated[str, typer.Option(help="another band")] = "tir",
    out: Annotated[Path, typer.Option(help="where explanation.json, results.json and report.html go")] = Path(
        "crossband-out"
    ),
    frame: Annotated[
        list[str] | None,
        typer.Option(help="a query to draw; may be repeated; without it, those that fail most"),
    ] = None,
    projections: Annotated[str, typer.Option(help="comma-separated: tsne, pca, umap")] = "tsne,pca",
    window: Annotated[int, typer.Option(min=0, help="side of the masks in pixels; 0 draws no heat maps")] = 40,
    stride: Annotated[int, typer.Option(min=1, help="pixels between masks")] = 16,
    protocol: ProtocolOption = "exact",
    size: SizeOption = "320x320",
    normalise: NormaliseOption = None,
    set_statistics: StandardiseOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    max_memory: MemoryOption = "2G",
    workers: WorkersOption = None,
    root: RootOption = None,
) -> None:
    """Why does a model find what it finds? Heat maps, distances, projections and gaps, all in report.html.

    Example: crossband explain recordings --models crossband,hog --out results
    """
    from .datasets import open_frames
    from .files import make_folder
    from .reports.html import write_report
    from .retrieval import explain as run
    from .retrieval.saliency import Masks
    from .retrieval.search import parse_memory

    frames = _with_units(open_frames(source, root), units)
    options = _options(size, normalise, weights, device, frames if set_statistics else None)
    make_folder(out)
    found = run(
        frames, _names(models), query, gallery, store=store or out / "store", queries=frame, protocol=protocol,
        projections=[name for name in projections.split(",") if name],
        masks=Masks(window, stride) if window else None, options=options,
        max_memory=parse_memory(max_memory), workers=workers,
    )  # fmt: skip
    found.write(out)
    report = write_report(found.result, frames, out, found)
    _print_table(found.result.to_display())
    print(f"report: {report}")


@app.command()
def robustness(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: BandsQuery = "all",
    gallery: BandsQuery = "all",
    out: Annotated[Path, typer.Option(help="where robustness.csv and robustness.png go")] = Path(
        "crossband-out"
    ),
    protocol: ProtocolOption = "exact",
    size: SizeOption = "320x320",
    normalise: NormaliseOption = None,
    set_statistics: StandardiseOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    max_memory: MemoryOption = "2G",
    workers: WorkersOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """How much misalignment does a model stand? Recall as one band is shifted, scaled or turned.

    Example: crossband robustness recordings --models crossband,hog --out results
    """
    from .datasets import open_frames
    from .files import make_folder
    from .retrieval import robustness as run
    from .retrieval.search import parse_memory

    frames = _with_units(open_frames(source, root), units)
    options = _options(size, normalise, weights, device, frames if set_statistics else None)
    make_folder(out)
    curve = run(
        frames, _names(models), query, gallery, store=store or out / "store", protocol=protocol,
        options=options, max_memory=parse_memory(max_memory), workers=workers,
    )  # fmt: skip
    curve.write(out)
    if as_json:
        _print_json(curve.points.to_dict("records"))
    else:
        _print_table(curve.points)
        print(f"curves: {out / 'robustness.png'}")


@app.command()
def fit(
    sources: Annotated[
        list[str], typer.Argument(metavar="FRAMES...", help="sets to fit on, never those to search")
    ],
    out: Annotated[Path, typer.Option(help="the descriptor file to write, .safetensors")],
    model: Annotated[str, typer.Option(help="the descriptor to shrink")] = "crossband",
    dim: Annotated[int, typer.Option(min=2, help="numbers a vector")] = 256,
    whiten: Annotated[float, typer.Option(min=0, max=1, help="0 keeps the variances, 1 equals them")] = 0.5,
    split: Annotated[str | None, typer.Option(help="fit on this split only")] = None,
    size: SizeOption = "320x320",
    normalise: NormaliseOption = None,
    set_statistics: StandardiseOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
) -> None:
    """Shrink a descriptor to a few numbers: principal axes, whitened, fitted without labels.

    The file stands wherever a model's name can.

    Example: crossband fit llvip epfl --model efficientnet_lite0@blocks.4:avg8 --out small.safetensors
    """
    from .datasets import open_frames
    from .retrieval import Descriptor, fit_descriptor

    sets = [_with_units(open_frames(source), units) for source in sources]
    sets = [frames.split(split) for frames in sets] if split else sets
    options = _options(size, normalise, weights, device, sets if set_statistics else None)
    descriptor = Descriptor.load(model, options)
    fitted = fit_descriptor(sets, descriptor, dim, store=store or out.parent / "store", whiten=whiten)
    images = sum(int(frames.table[band.value].notna().sum()) for frames in sets for band in frames.bands)
    print(f"{fitted.save(out)}: {dim} numbers, fitted on {images} images")


@app.command()
def index(
    source: FramesArgument,
    gallery: GalleryOption,
    model: Annotated[str | None, typer.Option(help="the descriptor; an existing gallery keeps its own")] = None,
    band: Annotated[
        list[str] | None, typer.Option(help="a band to keep; may be repeated; all by default")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32 (the default), or int8 for a quarter of the disk")
    ] = None,
    size: SizeOption = "320x320",
    normalise: NormaliseOption = None,
    set_statistics: StandardiseOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    workers: WorkersOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put images into a gallery to be searched; what is there already is not computed again.

    Example: crossband index recordings --gallery gallery --band tir
    """
    from .datasets import open_frames
    from .retrieval import index as run

    if not gallery.name and not (gallery / "gallery.json").is_file():
        raise CrossbandError("--gallery names no folder; give one, as in --gallery gallery")
    alone = band[0] if band and len(band) == 1 else None
    frames = _with_units(open_frames(source, root, alone), units)
    options = _options(size, normalise, weights, device, frames if set_statistics else None)
    added = run(frames, gallery, model, band, options=options, dtype=dtype, store=store, workers=workers)
    for fault in added.faults:
        print(f"left out: {fault}", file=sys.stderr)
    if as_json:
        _print_json({"gallery": str(gallery), "added": added.added, "unchanged": added.unchanged,
                     "left_out": [{"path": f.path, "reason": f.reason} for f in added.faults]})  # fmt: skip
    else:
        print(f"{gallery}: {added.added} added, {added.unchanged} unchanged, {len(added.faults)} left out")


@app.command()
def search(
    image: Annotated[str, typer.Argument(help="an image, or with --frames the name of a frame")],
    gallery: GalleryOption,
    k: Annotated[int, typer.Option("-k", help="how many")] = 10,
    band: Annotated[str, typer.Option(help="the query's band")] = "rgb",
    where: Annotated[str | None, typer.Option(help="SQL on the metadata, as in \"camera = 'north'\"")] = None,
    frames: Annotated[str | None, typer.Option(help="the manifest that the query's frame is in")] = None,
    calibrate: Annotated[str | None, typer.Option(help="a folder of images of the query's band")] = None,
    strip: Annotated[Path | None, typer.Option(help="write a picture of the query and its matches")] = None,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    max_memory: MemoryOption = "2G",
    as_json: JsonOption = False,
) -> None:
    """Find the images of a gallery that show what a query shows, in whatever band.

    Example: crossband search photo.jpg --gallery gallery -k 5 --strip matches.jpg
    """
    from .reports.strips import save_matches
    from .retrieval import Options
    from .retrieval import search as run
    from .retrieval.gallery import query_image
    from .retrieval.search import parse_memory

    path, units = query_image(image, band, frames, units)
    matches = run(
        path, gallery, k, band=band, where=where, units=units, calibrate=calibrate, store=store,
        options=Options(weights=weights, device=device), max_memory=parse_memory(max_memory),
    )  # fmt: skip
    if strip is not None:
        print(f"strip: {save_matches(path, band, matches, strip)}", file=sys.stderr)
    if as_json:
        _print_json([match.to_dict() for match in matches])
    else:
        import pandas as pd

        _print_table(pd.DataFrame([match.to_dict() for match in matches]))


@gallery_app.command("info")
def gallery_info(gallery: Annotated[Path, typer.Argument()], as_json: JsonOption = False) -> None:
    """What a gallery holds and what made it.

    Example: crossband gallery info gallery
    """
    from .retrieval import Gallery

    account = Gallery.info(gallery)
    if as_json:
        _print_json(account)
    else:
        for name, value in account.items():
            print(f"{name}: {value}")


@gallery_app.command("delete")
def gallery_delete(
    gallery: Annotated[Path, typer.Argument()],
    where: Annotated[str, typer.Option(help="SQL on the metadata, as in \"sequence = 'test'\"")],
) -> None:
    """Delete the items that fulfil a condition.

    Example: crossband gallery delete gallery --where "camera = 'north'"
    """
    from .retrieval import Gallery

    print(f"{gallery}: {Gallery.open_rows(gallery).delete(where)} deleted")


@gallery_app.command("optimise")
def gallery_optimise(
    gallery: Annotated[Path, typer.Argument()],
    build: Annotated[
        bool, typer.Option("--index", help="build the index for more than a million items")
    ] = False,
) -> None:
    """Compact a gallery's files and drop old versions.

    Example: crossband gallery optimise gallery
    """
    from .retrieval import Gallery

    rows = Gallery.open_rows(gallery)
    rows.optimise(build)
    print(f"{gallery}: {rows.count()} items")


@app.command("simulate")
def simulate_(
    out: Annotated[Path, typer.Option(help="folder to write pictures, labels and frames.parquet into")],
    preset: Annotated[str, typer.Option(help="retrieval, places, vehicles, driving or uav")] = "retrieval",
    frames: Annotated[int, typer.Option(help="how many")] = 100,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels")] = "320x256",
    seed: Annotated[int, typer.Option(help="of the city and all in it")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; one a core by default")] = None,
    misaligned: Annotated[
        bool, typer.Option("--misaligned", help="a thermal camera beside, with true flow")
    ] = False,
    eight_bit: Annotated[
        bool, typer.Option("--eight-bit", help="also thermal images after gain control")
    ] = False,
    samples: Annotated[int, typer.Option(help="rays a pixel, 1 or 4")] = 4,
    layout: Annotated[str | None, typer.Option(help="also export to OUT/LAYOUT: mfnet, pst900 or coco")] = None,
) -> None:
    """Make aligned RGB, NIR and thermal pictures of a city, with every label.

    Example: crossband simulate --preset driving --frames 100 --size 320x256 --seed 0 --out city
    """
    from .simulation import check_layout, export_layout, simulate

    if layout is not None:
        check_layout(layout)
    made = simulate(
        preset, frames, _sides(size), seed, out, workers=workers, misaligned=misaligned, eight_bit=eight_bit,
        samples=samples,
    )  # fmt: skip
    if layout is not None:
        export_layout(layout, made, out / layout)
    print(f"{out / 'frames.parquet'}: {len(made)} frames, {', '.join(band.value for band in made.bands)}")


@app.command("train")
def train_(
    recipe: Annotated[Path, typer.Argument(help="a YAML file")],
    overrides: OverridesArgument = None,
    out: Annotated[Path, typer.Option(help="folder of the run; started again, it goes on")] = Path("run"),
    data_root: DataRootOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Train what a recipe describes.

    Example: crossband train recipes/vpr/city_gem_triplet.yaml running.epochs=5 --data-root data --out out/gem
    """
    from .training import train

    done = train(recipe, overrides or (), out, data_root=data_root)
    if as_json:
        _print_json(done.to_json())
    else:
        print(f"{done.checkpoint}: {done.monitor} {done.best:.1f} after epoch {done.epoch}")


@app.command("evaluate")
def evaluate_(
    recipe: Annotated[Path | None, typer.Argument(help="a YAML file; without it, the checkpoint's own")] = None,
    overrides: OverridesArgument = None,
    checkpoint: Annotated[Path | None, typer.Option(help="without one: before training")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for results.json")] = None,
    data_root: DataRootOption = Path(),
) -> None:
    """Measure a network on every test pair of a recipe.

    Example: crossband evaluate --checkpoint out/gem/best.safetensors --data-root data --out out/gem
    """
    from .training import evaluate

    results = evaluate(recipe, checkpoint, out, overrides=overrides or (), data_root=data_root)
    _print_json(results if out is None else _shortened(results, f"in {out / 'results.json'}"))


@app.command("reid")
def reid_(
    query: Annotated[
        str, typer.Argument(help="an image, BAND=IMAGE,BAND=IMAGE, or a frame's name in the gallery")
    ],
    gallery: Annotated[Path | None, typer.Option(help="frames to search: a manifest or a folder")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="gallery: of a recipe of re-identification")] = None,
    flight: Annotated[Path | None, typer.Option(help="or a thermal flight: a folder or a video")] = None,
    map_: Annotated[
        Path | None, typer.Option("--map", help="flight: a folder with tiles.json, or a GeoTIFF of labels")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="flight: networks, as reproduce thermal-reid writes OUT/models")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="how many matches")] = 10,
    band: Annotated[str, typer.Option(help="gallery: of a query that is one image")] = "rgb",
    query_bands: Annotated[str | None, typer.Option(help="gallery: as in rgb,tir; all by default")] = None,
    gallery_bands: Annotated[str | None, typer.Option(help="gallery: likewise")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="gallery: only this one; may be repeated")] = None,
    after: Annotated[str | None, typer.Option(help="gallery: not earlier, ISO 8601 or seconds")] = None,
    before: Annotated[str | None, typer.Option(help="gallery: not later")] = None,
    rerank: Annotated[bool, typer.Option("--rerank", help="gallery: by neighbours within it")] = False,
    box: Annotated[
        str | None, typer.Option(help="flight: LEFT,TOP,WIDTH,HEIGHT of the object in the photograph")
    ] = None,
    radius: RadiusOption = None,
    where: WhereOption = None,
    out: Annotated[
        Path | None, typer.Option(help="gallery: a strip, .jpg or .png; flight: a folder, uav by default")
    ] = None,
    store: StoreOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Where is the same object? In a gallery over any bands, cameras and hours; or, of a colour photograph, in
    a thermal flight and on the map.

    Example: crossband reid rgb=car.png,tir=car_t.png --gallery lastnight --checkpoint best.safetensors

    Example: crossband reid photo.jpg --flight flight --map map --models models --out found
    """
    if gallery is not None and checkpoint is not None and flight is None:
        _reid_gallery(
            query, gallery, checkpoint, k, out, as_json,
            band=band, query_bands=query_bands and _listed(query_bands),
            gallery_bands=gallery_bands and _listed(gallery_bands), cameras=camera or (), after=after,
            before=before, rerank=rerank, store=store,
        )  # fmt: skip
    elif flight is not None and map_ is not None and models is not None and gallery is None:
        _reid_flight(
            query, flight, map_, models, out or Path("uav"), as_json, box=box, k=k, radius=radius,
            where=_conditions(where), device=device,
        )  # fmt: skip
    else:
        raise CrossbandError(
            "reid searches a gallery (--gallery DIR --checkpoint FILE) or a flight (--flight DIR --map DIR "
            "--models DIR); give one of the two, whole"
        )


def _reid_gallery(
    query: str, gallery: Path, checkpoint: Path, k: int, out: Path | None, as_json: bool, **options: Any
) -> None:
    from .pipelines.reid import reid

    found = reid(_images_by_band(query), gallery, checkpoint, k, **options)
    if out is not None:
        found.save_strip(out)
    if as_json:
        _print_json(found.to_json())
    else:
        _print_table(found.to_display())
        print(f"{found.n_gallery} frames searched, {found.n_left_out} left out; by {found.descriptor} of "
              f"{'+'.join(found.query_bands)} against {'+'.join(found.gallery_bands)}")  # fmt: skip


def _reid_flight(
    photo: str,
    flight: Path,
    map_: Path,
    models: Path,
    out: Path,
    as_json: bool,
    *,
    box: str | None,
    **options: Any,
) -> None:
    import pandas as pd

    from .uav.pipeline import parse_box, reid

    found = reid(photo, flight, map_, models, out, box=parse_box(box), **options)
    if as_json:
        _print_json(found.to_json())
        return
    columns = ["rank", "frame", "kind", "distance", "lat", "lon", "confidence"]
    _print_table(
        pd.DataFrame([{name: getattr(m, name) for name in columns} for m in found.matches], columns=columns)
    )
    verdict = "near enough to be the one" if found.there else "not there: nothing is near enough"
    print(f"{verdict} (threshold {found.threshold:.3f}); picture: {out / 'matches.jpg'}")


def _images_by_band(query: str) -> str | dict[str, str]:
    """A query as it is, or BAND=IMAGE,... taken apart."""
    parts = [part.partition("=") for part in query.split(",")]
    if Path(query).exists() or not all(equals and band.isalpha() for band, equals, _ in parts):
        return query
    return {band: path for band, _, path in parts}


@app.command("reproduce")
def reproduce_(
    paper: Annotated[
        str, typer.Argument(help="vpr-finetuning, rsfnet, hamnet, thermal-reid or rgbt-retrieval")
    ],
    data_root: DataRootOption,
    row: Annotated[
        list[str] | None, typer.Option(help="a recipe's name, or a model's; may be repeated; all without")
    ] = None,
    training: Annotated[
        bool, typer.Option("--train", help="train first, where no checkpoint is there")
    ] = False,
    out: Annotated[Path, typer.Option(help="where runs go")] = Path("reproduction"),
    recipes: Annotated[Path | None, typer.Option(help="another folder of recipes")] = None,
) -> None:
    """Each figure of a paper next to ours.

    Example: crossband reproduce rgbt-retrieval --data-root data --out out/rgbt
    """
    from .progress import note
    from .training import reproduce

    done = reproduce(
        paper, data_root, rows=row, mode="train" if training else "evaluate", out=out, recipes=recipes
    )
    table = done.to_display()
    measured = table["ours"].notna()
    _print_table(table[measured] if measured.any() else table)
    note(f"{measured.sum()} of {len(table)} figures; all of them: {out / 'reproduction.json'}")
    for name, why in done.missing.items():
        note(f"{name}: {why}")


@app.command("segment")
def segment_(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="pictures, folders of pairs or manifests")
    ],
    checkpoint: Annotated[Path, typer.Option(help="of a training of the task segmentation")],
    out: Annotated[Path, typer.Option(help="folder for label maps, overlays and segments.json")] = Path(
        "segmented"
    ),
    tir: Annotated[Path | None, typer.Option(help="the thermal image, or the folder with its stem")] = None,
    nir: Annotated[Path | None, typer.Option(help="the same for near infrared")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="also segment without this band; may be repeated")
    ] = None,
    units: UnitsOption = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Label maps of images: a PNG of classes, a coloured overlay, and the share of each class.

    Example: crossband segment photo.png --tir thermal.png --checkpoint best.safetensors --without tir
    """
    import pandas as pd

    from .segmentation import segment

    found = segment(
        images, checkpoint, out, tir=tir, nir=nir, units=units, without=without or (), device=device
    )
    if as_json:
        _print_json([one.to_json() for one in found])
        return
    rows = []
    for one in found:
        rows.append({"frame": one.frame, **{name: share for name, share in one.shares.items() if share}})
        for band, shares in one.without.items():
            rows.append(
                {"frame": f"  without {band}", **{name: share for name, share in shares.items() if share}}
            )
    _print_table(pd.DataFrame(rows))
    print(f"overlays and label maps: {out}")


@app.command("segment-robustness")
def segment_robustness_(
    source: FramesArgument,
    checkpoint: Annotated[list[str], typer.Option(help="[NAME=]FILE; may be repeated")],
    out: Annotated[Path, typer.Option(help="folder for the curves")] = Path("crossband-out"),
    split: Annotated[str | None, typer.Option(help="of the frames")] = None,
    protocol: Annotated[str, typer.Option(help="present, rtfnet or objects")] = "present",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """mIoU as RGB darkens, thermal fades, the bands are moved against each other, and fog thickens.

    Example: crossband segment-robustness city/driving_3 --checkpoint both=out/both/best.safetensors
    """
    from .datasets import open_frames
    from .files import make_folder
    from .segmentation import segmentation_robustness

    frames = open_frames(source, root)
    make_folder(out)
    named = {name or file: file for name, _, file in (given.rpartition("=") for given in checkpoint)}
    curve = segmentation_robustness(
        frames.split(split) if split else frames, named, protocol=protocol, device=device
    )
    picture = curve.write(out)
    if as_json:
        _print_json(curve.points.to_dict("records"))
    else:
        _print_table(curve.points[curve.points["condition"] == "all"])
        print(f"curves: {picture}")


@app.command("profile")
def profile_(
    model: Annotated[str, typer.Argument(help="a segmentation network, an encoder, or a checkpoint")],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="of the network")
    ] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the input")] = "640x480",
    bands: Annotated[
        str, typer.Option(help="comma-separated bands that a segmentation network reads")
    ] = "rgb,tir",
    classes: Annotated[int, typer.Option(min=2, help="of a segmentation network")] = 9,
    form: Annotated[str, typer.Option(help="training, deployed or both")] = "both",
    batch: Annotated[int, typer.Option(min=1, help="images at once")] = 1,
    rounds: Annotated[int, typer.Option(min=0, help="timed passes; 0 only counts")] = 20,
    device: DeviceOption = "auto",
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16")] = "float32",
    threads: Annotated[int | None, typer.Option(min=1, help="of torch on a CPU")] = None,
    as_json: JsonOption = False,
) -> None:
    """What a network costs: parameters, multiply-adds, thop's figure, latency and memory, as trained and
    deployed.

    Example: crossband profile rsfnet50_18 --size 640x480 --rounds 5
    """
    import pandas as pd

    from .profile import FORMS, profile

    width, height = _sides(size)
    found = profile(
        model, size=(height, width), bands=_listed(bands), classes=classes, options=_key_values(options or ()),
        forms=FORMS if form == "both" else [form], batch_size=batch, rounds=rounds, device=device, dtype=dtype,
        threads=threads,
    )  # fmt: skip
    rows = [one.to_json() for one in found]
    if as_json:
        _print_json(rows[0] if len(rows) == 1 else rows)
        return
    for row in rows:
        latency = row.pop("latency_ms") or {}
        row |= {
            "p50_ms": latency.get("p50"),
            "p95_ms": latency.get("p95"),
            "input": "x".join(map(str, row["input"])),
        }
        row |= {key: f"{row[key]:.2f}" for key in ("params_m", "macs_g", "flops_g", "thop_g")}
    _print_table(pd.DataFrame(rows))


@app.command("export")
def export_(
    model: Annotated[str, typer.Argument(help="a segmentation network, an encoder, or a checkpoint")],
    out: Annotated[Path, typer.Option(help="the .onnx file")],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="of the network")
    ] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT; a checkpoint has its own")] = None,
    bands: Annotated[
        str, typer.Option(help="comma-separated bands that a segmentation network reads")
    ] = "rgb,tir",
    classes: Annotated[int, typer.Option(min=2, help="of a segmentation network")] = 9,
    as_json: JsonOption = False,
) -> None:
    """Write a network's deployed form as ONNX, and see that both give the same.

    Example: crossband export out/both/best.safetensors --out model.onnx
    """
    from .export import export

    sides = _sides(size)[::-1] if size else None
    done = export(
        model, out, size=sides, bands=_listed(bands), classes=classes, options=_key_values(options or ())
    )
    if as_json:
        _print_json(done.to_json())
    else:
        print(
            f"{done.path}: {done.megabytes:.1f} MiB, input {'x'.join(map(str, done.input))}, "
            f"largest difference {done.largest_difference:.1e} of {done.largest_output:.1e}"
        )


@app.command("translate")
def translate_(
    photo: Annotated[Path, typer.Argument(help="a colour photograph")],
    model: Annotated[Path, typer.Option(help="a checkpoint of the task translation")],
    out: Annotated[Path, typer.Option(help="the image to write: 16-bit PNG, centikelvin")],
    flight: Annotated[Path | None, typer.Option(help="the flight whose temperature it is to have")] = None,
    ambient: Annotated[float | None, typer.Option(help="or that temperature, kelvin")] = None,
    device: DeviceOption = "cpu",
) -> None:
    """What a thermal camera would see of a colour photograph.

    Example: crossband translate photo.jpg --model translation.safetensors --flight flight --out probe.png
    """
    from .uav.flight import open_flight
    from .uav.networks import load_translator
    from .uav.translate import read_photograph, translate

    if (flight is None) == (ambient is None):
        raise CrossbandError("a scene has no temperature of its own; give --flight DIR, or --ambient KELVIN")
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
    from dataclasses import asdict

    import pandas as pd

    from .uav.flight import open_flight
    from .uav.networks import Networks
    from .uav.semantic_map import read_map
    from .uav.stages import localise

    networks, frames, ground = Networks(models, device), open_flight(flight, _conditions(where)), read_map(map_)
    found = localise(frames, ground, networks.labeller, networks.locator, out, radius)
    rows = [asdict(position) for position in found]
    if as_json:
        _print_json(rows)
    else:
        _print_table(pd.DataFrame(rows)[["frame", "lat", "lon", "confidence"]])


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

    from .uav.flight import open_flight
    from .uav.networks import Networks
    from .uav.semantic_map import read_map
    from .uav.stages import align, detect, localise

    networks, frames, labels = Networks(models, device), open_flight(flight, _conditions(where)), None
    if networks.detector.network.semantics and map_ is not None:
        ground = read_map(map_)
        positions = localise(frames, ground, networks.labeller, networks.locator, out, radius)
        labels = align(frames, ground, positions, out)
    found = detect(frames, networks.detector, out, labels, least)
    names = networks.detector.classes
    rows = [
        {"frame": frame, "class": names[int(box[5])], "score": float(box[4]), "left": float(box[0]),
         "top": float(box[1]), "right": float(box[2]), "bottom": float(box[3])}
        for frame, boxes in zip(frames.names, found, strict=True) for box in boxes
    ]  # fmt: skip
    if as_json:
        _print_json(rows)
    else:
        _print_table(pd.DataFrame(rows, columns=["frame", "class", "score", "left", "top", "right", "bottom"]))


def _conditions(where: list[str] | None) -> dict[str, list[str]] | None:
    """COLUMN=VALUE, several of them; values of one column are alternatives."""
    found: dict[str, list[str]] = {}
    for text in where or ():
        column, equals, value = text.partition("=")
        if not equals or not column:
            raise CrossbandError(f"--where is COLUMN=VALUE, as in sequence=flight001, not {text!r}")
        found.setdefault(column, []).append(value)
    return found or None


@app.command()
def models(
    pattern: Annotated[str, typer.Argument(help="as in resnet*")] = "*", as_json: JsonOption = False
) -> None:
    """Encoders and segmentation networks: parameters, dimension, licence, and whether weights are here.

    Of encoders the parameters are without the classifier, and any model of timm works too, as timm/NAME.

    Example: crossband models "resnet*"
    """
    from dataclasses import asdict

    import pandas as pd

    from .models import list_models, list_segmenters
    from .retrieval.descriptor import PRESETS

    encoder = "efficientnet_lite0" if pattern in PRESETS else pattern.partition(":")[0].partition("@")[0]
    found = [asdict(info) for info in (*list_models(encoder), *list_segmenters(encoder))]
    if not found:
        known = (info.name for info in (*list_models(), *list_segmenters()))
        raise unknown_name("model", pattern, [*PRESETS, *known])
    if as_json:
        _print_json(found)
    else:
        # cut, not rounded, to two decimals: so does the paper's table 4
        _print_table(pd.DataFrame([{**f, "params_m": f"{int(f['params_m'] * 100) / 100:.2f}"} for f in found]))


@app.command()
def datasets(as_json: JsonOption = False) -> None:
    """The public datasets that are read as their authors publish them.

    Example: crossband datasets
    """
    import pandas as pd

    from .datasets import list_datasets

    found = [
        {
            "name": d.name,
            "title": d.title,
            "bands": "+".join(d.bands),
            "source": d.source,
            "licence": d.licence,
        }
        for d in list_datasets()
    ]
    if as_json:
        _print_json([{**entry, "layout": d.layout} for entry, d in zip(found, list_datasets(), strict=True)])
    else:
        _print_table(pd.DataFrame(found))


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise CrossbandError("--models names no model; crossband models lists the encoders")
    return names


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _key_values(given: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE pairs, the values as YAML."""
    import yaml  # type: ignore[import-untyped]

    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CrossbandError(f"an option of a network is KEY=VALUE, as in kernel_size=7, not {text!r}")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise CrossbandError(f"the value of {text!r} is no YAML") from None
    return found


def _options(
    size: str, normalise: list[str] | None, weights: Path | None, device: str,
    measure: Frames | list[Frames] | None = None,
) -> Options:  # fmt: skip
    from dataclasses import replace

    from .bands import parse_band
    from .preprocess import IMAGENET, measure_statistics
    from .retrieval import Options

    width, height = _sides(size)
    if not 16 <= min(width, height) <= max(width, height) <= 8192:
        raise CrossbandError(f"--size is WIDTHxHEIGHT with sides from 16 to 8192, not {size!r}")
    names: dict[str, str] = {}
    for entry in normalise or ():
        band, equals, name = entry.partition("=")
        if not equals:
            raise CrossbandError(f"--normalise is BAND=NAME, as in tir=percentile, not {entry!r}")
        names[parse_band(band)] = name
    options = Options(size=(height, width), normalisation=names, weights=weights, device=device)
    if measure is None:
        return options
    return replace(options, statistics=measure_statistics(measure, options.preprocess(IMAGENET)))


def _sides(size: str) -> tuple[int, int]:
    """(width, height) of WIDTHxHEIGHT."""
    try:
        width, height = (int(side) for side in size.lower().split("x"))
    except ValueError:
        raise CrossbandError(f"--size is WIDTHxHEIGHT, as in 320x256, not {size!r}") from None
    return width, height


def _with_units(frames: Frames, units: str | None) -> Frames:
    return frames if units is None else frames.assign(tir_units=units)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=str))


def _shortened(value: Any, where: str) -> Any:
    """The same, with a remark in the place of long lists of numbers or words that stand in a file too."""
    if isinstance(value, dict):
        return {key: _shortened(inner, where) for key, inner in value.items()}
    if isinstance(value, list) and len(value) > 60 and not isinstance(value[0], dict | list):
        return f"{len(value)} values, {where}"
    return [_shortened(inner, where) for inner in value] if isinstance(value, list) else value


def _print_table(table: Any) -> None:
    """A table on standard output, whole whatever the width of what reads it."""
    import pandas as pd
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    kept = [column for column in table.columns if table[column].notna().any()]
    for column in kept:
        numeric = pd.api.types.is_numeric_dtype(table[column])
        grid.add_column(Text(str(column)), justify="right" if numeric else "left", no_wrap=numeric)
    for row in table[kept].itertuples(index=False):
        grid.add_row(*(Text("" if pd.isna(v) else _cell(c, v)) for c, v in zip(kept, row, strict=True)))
    console.print(grid)


def _cell(column: str, value: object) -> str:
    """A number with the decimals that its column asks for: a tenth of a metre needs six of a degree."""
    decimals = {"lat": 6, "lon": 6, "distance": 3, "CKA": 3, "amount": 2}.get(column, 1)
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)
