"""Galleries, their columns and their items."""

from __future__ import annotations

import json
import threading
from pathlib import Path as FilePath
from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, File, Form, HTTPException, Path, Query, Request, Response, UploadFile

from ...bands import Band, Units
from ...errors import CrossbandError
from ...files import write_file
from ...frames import Frames
from ...retrieval.gallery.lance import METADATA
from ...retrieval.gallery.working import working_folder
from .. import schemas
from ..galleries import ServedGallery
from ..marks import marks_manifest
from ..reporting import last_benchmark
from .common import REFUSALS, GalleryOf, LookOf, ServiceOf, Writable, item_source, picture, sent_source

router = APIRouter(prefix="/galleries", tags=["galleries"], responses=REFUSALS)

Where = Annotated[str | None, Query(max_length=10_000, description="a condition, as in camera = 'north'")]
ItemName = Annotated[str, Path(max_length=64)]
_adding = threading.Lock()
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"II*\0": ".tif", b"MM\0*": ".tif", b"RIFF": ".webp"}


@router.get("", summary="All galleries")
def list_galleries(service: ServiceOf) -> list[schemas.GalleryInfo]:
    """Tell what each gallery holds and what made it."""
    return [schemas.GalleryInfo(**gallery.info()) for gallery in service.galleries.values()]


@router.get("/{gallery}", summary="One gallery")
def gallery_info(gallery: GalleryOf) -> schemas.GalleryInfo:
    """Tell what it holds and what made it."""
    return schemas.GalleryInfo(**gallery.info())


@router.get("/{gallery}/facets", summary="Columns and their values")
def facets(gallery: GalleryOf, where: Where = None) -> list[schemas.Facet]:
    """Tell of each column that holds something its values and their counts, or its range."""
    return [schemas.Facet(**one) for one in gallery.facets(where)]


@router.get("/{gallery}/items", summary="Items")
def items(
    gallery: GalleryOf,
    where: Where = None,
    sort: Annotated[str, Query(max_length=20)] = "time",
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 60,
) -> schemas.Items:
    """List some items, in the order of a column."""
    return schemas.Items(**gallery.items(where, sort, offset, limit))


@router.get("/{gallery}/positions", summary="Where frames were taken")
def positions(gallery: GalleryOf, where: Where = None) -> list[schemas.Place]:
    """List each frame with a position, once."""
    return [schemas.Place(**one) for one in gallery.positions(where)]


@router.get("/{gallery}/survey", summary="Queries that are found worst")
def survey(
    gallery: GalleryOf,
    query: Band = Band.RGB,
    among: Band = Band.TIR,
    limit: Annotated[int, Query(ge=1, le=200)] = 40,
) -> schemas.Survey:
    """Measure how well the gallery finds its own frames across two bands, by its vectors."""
    return schemas.Survey(**gallery.survey(query, among, limit))


@router.get("/{gallery}/benchmark", summary="Queries that the last benchmark found worst")
def benchmark(service: ServiceOf, gallery: GalleryOf) -> schemas.LastBenchmark:
    """Tell what the newest ``results.json`` below the folders of reports says, by items of this gallery."""
    found = last_benchmark(service.settings.reports)
    if found is None:
        return schemas.LastBenchmark(time=None, runs=[])
    return schemas.LastBenchmark(time=found["time"], runs=[_measured(gallery, run) for run in found["runs"]])


def _measured(gallery: ServedGallery, run: dict[str, Any]) -> schemas.BenchmarkRun:
    bands = {"query": Band(run["query_band"]), "right": Band(run["gallery_band"])}
    named = run.get("worst", [])
    items = {side: gallery.named([one["query"] for one in named], band) for side, band in bands.items()}
    worst = [
        schemas.BenchmarkRow(
            frame=one["query"],
            rank=one["rank"],
            query=_item(items["query"].get(one["query"])),
            right=_item(items["right"].get(one["query"])),
        )
        for one in named
    ]
    return schemas.BenchmarkRun(
        model=run["model"],
        query_band=bands["query"],
        gallery_band=bands["right"],
        queries=run["n_queries"],
        recall=run["recall"],
        worst=worst,
    )


@router.get("/{gallery}/duplicates", summary="Items that lie nearest to each other")
def duplicates(
    gallery: GalleryOf, band: Band = Band.TIR, limit: Annotated[int, Query(ge=1, le=200)] = 40
) -> list[schemas.Duplicate]:
    """List pairs of one band, the nearest first."""
    return [schemas.Duplicate(**one) for one in gallery.duplicates(band, limit)]


@router.get("/{gallery}/items/{item}", summary="One item")
def item(gallery: GalleryOf, item: ItemName) -> schemas.Item:
    """Return its frame, band and metadata, and the items of the same frame in other bands."""
    try:
        return schemas.Item(**gallery.item(item))
    except KeyError:
        raise HTTPException(404, "no such item") from None


@router.get("/{gallery}/items/{item}/image", summary="Its image", response_class=Response)
def image(service: ServiceOf, request: Request, gallery: GalleryOf, item: ItemName, look: LookOf) -> Response:
    """Draw it as PNG; thermal pixels by a palette and a range of temperatures."""
    return picture(service, request, *item_source(gallery, item), look)


@router.get("/{gallery}/items/{item}/thumbnail", summary="Its image, small", response_class=Response)
def thumbnail(
    service: ServiceOf, request: Request, gallery: GalleryOf, item: ItemName, look: LookOf
) -> Response:
    """Draw it as JPEG."""
    return picture(service, request, *item_source(gallery, item), look, kind="jpeg")


@router.get("/{gallery}/items/{item}/temperature", summary="What one pixel holds")
def temperature(
    service: ServiceOf,
    gallery: GalleryOf,
    item: ItemName,
    x: Annotated[int, Query(ge=0, le=1_000_000)],
    y: Annotated[int, Query(ge=0, le=1_000_000)],
) -> schemas.Temperature:
    """Read the pixel in column x and row y, and its temperature where it has one."""
    source, band, units = item_source(gallery, item)
    return schemas.Temperature(**service.decoders.value(source, band, x, y, units=units))


@router.post("/{gallery}/items", summary="Add an image", dependencies=[Writable])
def add(
    service: ServiceOf,
    gallery: GalleryOf,
    image: Annotated[UploadFile, File(description="the image")],
    frame: Annotated[str, Form(min_length=1, max_length=200, description="a name of its own")],
    band: Annotated[Band, Form()],
    units: Annotated[Units | None, Form()] = None,
    metadata: Annotated[str, Form(max_length=10_000, description="JSON: column to value")] = "{}",
) -> schemas.Added:
    """Keep an image beside the gallery and index it; what is answered is on the disk."""
    source = sent_source(service, image, None)
    service.decoders.pixels(source, band, units)  # refused here, where it can do no harm
    columns = _metadata(metadata)
    home = gallery.gallery.home
    if home.folder is None:
        raise CrossbandError(
            f"images are kept beside galleries in a folder, and {gallery.name} is in none; index a folder",
            parameter="gallery",
        )
    folder = home.folder.resolve() / "uploads"
    head = source.data or b""
    suffix = next((suffix for magic, suffix in _SUFFIXES.items() if head.startswith(magic)), ".img")
    file = f"{source.key}{suffix}"
    row: dict[str, object] = {"frame": frame, band.value: file, **columns}
    if units is not None:
        row["tir_units"] = units.value
    frames = Frames.make([row], folder)
    with _adding:
        write_file(folder / file, lambda path: FilePath(path).write_bytes(head), durable=True)
        with working_folder(home.folder, None) as work, service.network:
            added = gallery.gallery.add(frames, [band], store=work, workers=1)
    left = [fault.reason for fault in added.faults]
    counts = {"added": added.added, "replaced": added.replaced, "updated": added.updated}
    return schemas.Added(**counts, unchanged=added.unchanged, left_out=left)


@router.delete("/{gallery}/items/{item}", summary="Delete an item", dependencies=[Writable])
def delete(gallery: GalleryOf, item: ItemName) -> schemas.Deleted:
    """Delete one item; its image file stays."""
    try:
        key = str(gallery.row(item)["key"])
    except KeyError:
        raise HTTPException(404, "no such item") from None
    quoted = key.replace("'", "''")
    return schemas.Deleted(deleted=gallery.gallery.delete(f"key = '{quoted}'"))


@router.post("/{gallery}/delete", summary="Delete items by a condition", dependencies=[Writable])
def delete_where(gallery: GalleryOf, asked: schemas.DeleteWhere) -> schemas.Deleted:
    """Delete the items that fulfil a condition; their image files stay."""
    return schemas.Deleted(deleted=gallery.gallery.delete(asked.where))


@router.post("/{gallery}/marks", summary="Judgments as a manifest", response_class=Response)
def marks(gallery: GalleryOf, asked: schemas.Marks) -> Response:
    """Write a CSV manifest: frames marked as one place share it; ``not_same`` names the others."""
    text = marks_manifest(gallery, asked.marks)
    disposition = 'attachment; filename="marks.csv"'
    return Response(text, media_type="text/csv", headers={"content-disposition": disposition})


def _metadata(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    known = isinstance(found, dict) and set(found) <= set(METADATA)
    plain = known and all(isinstance(v, str | int | float) or v is None for v in found.values())
    if not plain:
        raise CrossbandError(
            f"metadata is a JSON object of {', '.join(METADATA)}, each a text or a number", parameter="metadata"
        )
    return {name: value for name, value in found.items() if not pd.isna(value)}


def _item(told: dict[str, Any] | None) -> schemas.Item | None:
    return None if told is None else schemas.Item(**told)
