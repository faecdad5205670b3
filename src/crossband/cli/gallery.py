"""``index``, ``search`` and ``gallery``."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CrossbandError, unknown_name
from ._app import app, gallery_app
from ._arguments import (
    CslsOption,
    DeviceOption,
    FramesArgument,
    FramesReading,
    GalleryArgument,
    GalleryOption,
    JsonOption,
    LikelyOption,
    MemoryOption,
    RerankOption,
    SequenceOption,
    StoreOption,
    UnitsOption,
    WeightsOption,
    Working,
    takes,
)
from ._printing import print_json, print_table

if TYPE_CHECKING:
    from ..retrieval.search_result import SearchResult


@app.command()
@takes(FramesReading, Working)
def index(
    source: FramesArgument,
    gallery: GalleryOption,
    model: Annotated[str | None, typer.Option(help="descriptor; an existing gallery keeps its own")] = None,
    band: Annotated[
        list[str] | None, typer.Option(help="band to index; may be repeated; all by default")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32 (the default), float16, int8; pq, binary: int8 on the disk, codes in memory"
        ),
    ] = None,
    local: Annotated[
        bool,
        typer.Option("--local", help="keep local features too, 100 kB per image, to re-rank without images"),
    ] = False,
    *,
    reading: FramesReading,
    working: Working,
    as_json: JsonOption = False,
) -> None:
    """Add images to a gallery for searching; what is already there is not computed again.

    Example: crossband index recordings --gallery gallery --band tir
    """
    from ..retrieval.gallery.indexing import index_pieces

    if not gallery.strip():
        raise CrossbandError("--gallery is empty; give a folder, as in --gallery gallery")
    engine = working.open()
    alone = band[0] if band and len(band) == 1 else None
    pieces = reading.pieces(source, alone)
    first = next(pieces, None)
    if first is None:
        raise CrossbandError(f"{source} has no frames")
    added = index_pieces(
        itertools.chain([first], pieces),
        gallery,
        model=model,
        bands=band,
        options=reading.options(first),
        dtype=dtype,
        store=reading.store,
        workers=reading.workers,
        local=local,
        engine=engine,
    )
    for fault in added.faults:
        print(f"left out: {fault}", file=sys.stderr)
    if as_json:
        print_json(
            {
                "gallery": gallery,
                "added": added.added,
                "replaced": added.replaced,
                "updated": added.updated,
                "unchanged": added.unchanged,
                "left_out": [{"path": f.path, "reason": f.reason} for f in added.faults],
            }
        )
    else:
        counts = {"added": added.added, "replaced": added.replaced, "updated": added.updated}
        shown = [f"{n} {what}" for what, n in counts.items() if n or what == "added"]
        print(f"{gallery}: {', '.join(shown)}, {added.unchanged} unchanged, {len(added.faults)} left out")


@app.command()
def search(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="images, folders of images, or with --frames names of frames"),
    ],
    gallery: GalleryOption,
    k: Annotated[int, typer.Option("-k", help="number of matches")] = 10,
    band: Annotated[str, typer.Option(help="the query's band")] = "rgb",
    where: Annotated[
        str | None, typer.Option(help="condition on the metadata, as in \"camera = 'north'\"")
    ] = None,
    frames: Annotated[str | None, typer.Option(help="manifest with the query's frame")] = None,
    calibrate: Annotated[
        str | None, typer.Option(help="folder of images of the query's band, to learn its mean from")
    ] = None,
    rerank: RerankOption = 10,
    likely: LikelyOption = 0.5,
    sequence: SequenceOption = None,
    csls: CslsOption = False,
    strip: Annotated[Path | None, typer.Option(help="write a picture of the queries and their matches")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="write the matches as a table, .csv")] = None,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    max_memory: MemoryOption = "2G",
    as_json: JsonOption = False,
) -> None:
    """Find the gallery images that show what a query shows, in any band; of many queries at one start.

    Example: crossband search photo.jpg --gallery gallery -k 5 --strip matches.jpg
    """
    from ..datasets.check import say_left_out
    from ..files import check_output
    from ..retrieval import Options
    from ..retrieval import search as run
    from ..retrieval.search import parse_memory

    if strip is not None:
        check_output(strip, (".jpg", ".jpeg", ".png"), "strip")
    if csv is not None:
        check_output(csv, (".csv",), "csv")
    paths, units = query_images(images, band, frames, units)
    matches = run(
        paths,
        gallery,
        k,
        band=band,
        where=where,
        units=units,
        calibrate=calibrate,
        store=store,
        options=Options(weights=weights, device=device),
        max_memory=parse_memory(max_memory),
        rerank=rerank,
        sequence=sequence,
        csls=csls,
    )
    say_left_out(matches.faults)
    _say_same_place(matches, likely)
    if strip is not None:
        print(f"strip: {matches.save_strip(strip)}", file=sys.stderr)
    if csv is not None:
        print(f"table: {matches.save_csv(csv)}", file=sys.stderr)
    if as_json:
        print_json(matches.to_rows())
    else:
        table = matches.to_pandas()
        print_table(table if len(paths) > 1 else table.drop(columns="query"))


def query_images(
    names: list[str], band: str, frames: str | Path | None = None, units: str | None = None
) -> tuple[list[Path], str | None]:
    """Return the image files of some queries, and the units of them all: paths, folders, or frames' names.

    Raises:
        CrossbandError: no such image or frame, a folder without images, or frames of several units.
    """
    from ..datasets import images_by_stem

    found: list[Path] = []
    said: set[str | None] = set()
    for name in names:
        if frames is None and Path(name).is_dir():
            inside = list(images_by_stem(Path(name), recursive=True).values())
            if not inside:
                raise CrossbandError(f"no images in {Path(name)}; give a folder that has some")
            found += inside
            continue
        path, own = query_image(name, band, frames, units)
        found.append(path)
        said.add(own)
    if len(said) > 1:
        raise CrossbandError("these frames have thermal pixels of several units; search those of one at a time")
    return found, said.pop() if said else units


def query_image(
    name: str, band: str, frames: str | Path | None = None, units: str | None = None
) -> tuple[Path, str | None]:
    """Return the image file and units of a query: a path, or a frame's name in a manifest.

    Raises:
        CrossbandError: no such frame, or it lacks the band.
    """
    from ..datasets import open_frames
    from ..stored import is_there

    if frames is None:
        if not is_there(name):
            raise CrossbandError(
                f"there is no image {name}; for the name of a frame, give its frames too", parameter="frames"
            )
        return Path(name), units
    table = open_frames(frames)
    if name not in table.names:
        raise unknown_name("frame", name, table.names)
    row = table.names.index(name)
    path = table.paths(band)[row]
    if path is None:
        raise CrossbandError(f"frame {name!r} has no {band} image; choose another band", parameter="band")
    return path, units or table.units()[row]


def _say_same_place(matches: SearchResult, likely: float) -> None:
    """Say on standard error whether the first match of each query shows the query's place."""
    for query, found in zip(matches.queries, matches.found, strict=True):
        if not found or found[0].same_place is None:
            continue
        probable, name = found[0].same_place, f"{Path(query).name}: " if len(matches.queries) > 1 else ""
        if probable >= likely:
            print(f"{name}same place: {probable:.2f} ({found[0].frame})", file=sys.stderr)
        else:
            print(f"{name}probably not in this gallery (same place: {probable:.2f} at best)", file=sys.stderr)


@gallery_app.command("info")
def gallery_info(gallery: GalleryArgument, as_json: JsonOption = False) -> None:
    """Show what a gallery holds and what made it.

    Example: crossband gallery info gallery
    """
    from ..retrieval import Gallery

    metadata = Gallery.info(gallery)
    if as_json:
        print_json(metadata)
    else:
        for name, value in metadata.items():
            print(f"{name}: {value}")


@gallery_app.command("delete")
def gallery_delete(
    gallery: GalleryArgument,
    where: Annotated[str, typer.Option(help="condition on the metadata, as in \"sequence = 'test'\"")],
) -> None:
    """Delete the items that match a condition.

    Example: crossband gallery delete gallery --where "camera = 'north'"
    """
    from ..retrieval import Gallery

    print(f"{gallery}: {Gallery.open_rows(gallery).delete(where)} deleted")


@gallery_app.command("copy")
def gallery_copy(source: GalleryArgument, target: GalleryArgument) -> None:
    """Copy a gallery to another address; nothing is computed again.

    Example: crossband gallery copy gallery s3://bucket/gallery
    """
    from ..retrieval import Gallery

    print(f"{target}: {Gallery.copy(source, target)} items copied")


@gallery_app.command("optimize")
def gallery_optimize(
    gallery: GalleryArgument,
    build: Annotated[
        bool, typer.Option("--index", help="build an index, which serves a million items and more")
    ] = False,
    recall: Annotated[float, typer.Option(help="with --index: the recall at 10 that it is tuned for")] = 0.99,
    max_memory: MemoryOption = "2G",
    as_json: JsonOption = False,
) -> None:
    """Compact a gallery's files and drop old versions; build an index, tuned by the gallery's own vectors.

    Example: crossband gallery optimize gallery --index --recall 0.99
    """
    from ..retrieval.gallery.tuning import optimize
    from ..retrieval.search import parse_memory

    done = optimize(gallery, build, recall=recall, max_memory=parse_memory(max_memory))
    if as_json:
        print_json(done.to_dict())
        return
    print(f"{gallery}: {done.items} items")
    if done.probes is not None:
        where = "the engine's cells" if done.cells is None else f"{done.cells} cells"
        print(
            f"a query looks into {done.probes} of {where}: recall at 10 {done.recall:.3f} "
            f"({recall} wished), {done.p50_ms:.1f} ms"
        )


@gallery_app.command("audit")
def gallery_audit(
    gallery: GalleryArgument,
    where: Annotated[
        list[str] | None,
        typer.Option(help="condition to audit under; may be repeated; some are chosen without"),
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="items of the gallery to search by")] = 200,
    max_memory: MemoryOption = "2G",
    as_json: JsonOption = False,
) -> None:
    """Measure recall and latency of a gallery's searches against exact ones, plain and under conditions.

    Example: crossband gallery audit gallery --where "camera = 'north'"
    """
    from ..retrieval.gallery.tuning import audit
    from ..retrieval.search import parse_memory

    found = audit(gallery, where or (), queries=queries, max_memory=parse_memory(max_memory))
    if as_json:
        print_json(found.to_dict())
    else:
        print(f"{gallery}: {found.items} items, searched by {found.way}, {found.queries} queries")
        print_table(found.to_pandas())
