"""``reid``, in a gallery of frames or in a thermal flight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import CrossbandError
from ._app import app
from ._arguments import (
    DeviceOption,
    JsonOption,
    RadiusOption,
    RigOption,
    StoreOption,
    WhereOption,
    conditions,
    listed,
)
from ._printing import print_json, print_table


@app.command("reid")
def reid_(
    query: Annotated[
        str, typer.Argument(help="an image, BAND=IMAGE,BAND=IMAGE, or a frame's name in the gallery")
    ],
    gallery: Annotated[Path | None, typer.Option(help="frames to search: a manifest or a folder")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="gallery: of a recipe of re-identification; the packaged network without"),
    ] = None,
    flight: Annotated[Path | None, typer.Option(help="or a thermal flight: a folder or a video")] = None,
    map_: Annotated[
        Path | None, typer.Option("--map", help="flight: a folder with tiles.json, or a GeoTIFF of labels")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="flight: networks, as reproduce thermal-reid writes OUT/models")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="number of matches")] = 10,
    band: Annotated[str, typer.Option(help="gallery: band of a single query image")] = "rgb",
    query_bands: Annotated[
        str | None, typer.Option(help="gallery: query bands, as in rgb,tir; all by default")
    ] = None,
    gallery_bands: Annotated[str | None, typer.Option(help="gallery: gallery bands, likewise")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="gallery: only this camera; may be repeated")] = None,
    after: Annotated[str | None, typer.Option(help="gallery: earliest time, ISO 8601 or seconds")] = None,
    before: Annotated[str | None, typer.Option(help="gallery: latest time, likewise")] = None,
    rerank: Annotated[bool, typer.Option("--rerank", help="gallery: k-reciprocal re-ranking")] = False,
    box: Annotated[
        str | None, typer.Option(help="flight: LEFT,TOP,RIGHT,BOTTOM of the object in the photograph, pixels")
    ] = None,
    radius: RadiusOption = None,
    where: WhereOption = None,
    out: Annotated[
        Path | None, typer.Option(help="gallery: a strip, .jpg or .png; flight: a folder, uav by default")
    ] = None,
    rig: RigOption = None,
    store: StoreOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Find the same object across cameras and bands, or that of a photograph in a thermal flight.

    The gallery may span any bands, cameras and hours; with a flight, the object is found on the map too.

    Example: crossband reid rgb=car.png,tir=car_t.png --gallery lastnight --checkpoint best.safetensors

    Example: crossband reid photo.jpg --flight flight --map map --models models --out found
    """
    from ..datasets import open_frames
    from ..object_search import reid
    from ..uav.pipeline import parse_box

    for_gallery = {
        "--band": band != "rgb",
        "--query-bands": query_bands,
        "--gallery-bands": gallery_bands,
        "--camera": camera,
        "--after": after,
        "--before": before,
        "--rerank": rerank,
        "--rig": rig,
        "--store": store,
        "--checkpoint": checkpoint,
    }
    for_flight = {
        "--box": box,
        "--radius": radius is not None,
        "--where": where,
        "--map": map_,
        "--models": models,
    }
    if gallery is not None and flight is None:
        _refuse_unused(for_flight, "a flight (--flight)")
    if flight is not None and gallery is None:
        _refuse_unused(for_gallery, "a gallery (--gallery)")
    whole = (gallery and not flight) or (flight and map_ and models and not gallery)
    if not whole:
        raise CrossbandError(
            "reid searches a gallery (--gallery DIR) or a flight (--flight DIR --map DIR "
            "--models DIR); give one of the two, whole"
        )
    found: Any = reid(
        query if flight else _images_by_band(query),
        gallery if rig is None or gallery is None else open_frames(gallery).with_rig(rig),
        checkpoint,
        flight=flight,
        map=map_,
        models=models,
        k=k,
        band=band,
        query_bands=query_bands and listed(query_bands),
        gallery_bands=gallery_bands and listed(gallery_bands),
        camera=camera or (),
        after=after,
        before=before,
        rerank=rerank,
        box=parse_box(box),
        radius=radius,
        where=conditions(where),
        out=out,
        store=store,
        device=device,
    )
    if as_json:
        print_json(found.to_dict())
        return
    if flight:
        columns = ["rank", "frame", "kind", "distance", "lat", "lon", "confidence"]
        print_table(found.to_pandas()[columns])
        verdict = "near enough to be the one" if found.there else "not there: nothing is near enough"
        print(f"{verdict} (threshold {found.threshold:.3f}); picture: {(out or Path('uav')) / 'matches.jpg'}")
        return
    print_table(found.to_pandas())
    print(
        f"{found.n_gallery} frames searched, {found.n_left_out} left out; by {found.descriptor} of "
        f"{'+'.join(found.query_bands)} against {'+'.join(found.gallery_bands)}"
    )


def _images_by_band(query: str) -> str | dict[str, str]:
    """A query as it is, or BAND=IMAGE,... taken apart."""
    parts = [part.partition("=") for part in query.split(",")]
    if Path(query).exists() or not all(equals and band.isalpha() for band, equals, _ in parts):
        return query
    return {band: path for band, _, path in parts}


def _refuse_unused(given: dict[str, Any], what: str) -> None:
    """Refuse options that would do nothing."""
    unused = [name for name, value in given.items() if value]
    if unused:
        raise CrossbandError(f"{', '.join(unused)} only serves {what}; leave it out")
