"""``reid``, in a gallery of frames or in a thermal flight."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import CrossbandError
from ._app import app
from ._arguments import (
    BesideFlight,
    DeviceOption,
    JsonOption,
    RadiusOption,
    RigOption,
    StoreOption,
    WhereOption,
    conditions,
    listed,
    takes,
)
from ._printing import print_json, print_table


@dataclass(frozen=True)
class InGallery:
    """What only a search in a gallery of frames takes."""

    checkpoint: Annotated[
        Path | None,
        typer.Option(help="gallery: of a recipe of re-identification; the packaged network without"),
    ] = None
    band: Annotated[str, typer.Option(help="gallery: band of a single query image")] = "rgb"
    query_bands: Annotated[
        str | None, typer.Option(help="gallery: query bands, as in rgb,tir; all by default")
    ] = None
    gallery_bands: Annotated[str | None, typer.Option(help="gallery: gallery bands, likewise")] = None
    camera: Annotated[list[str] | None, typer.Option(help="gallery: only this camera; may be repeated")] = None
    after: Annotated[str | None, typer.Option(help="gallery: earliest time, ISO 8601 or seconds")] = None
    before: Annotated[str | None, typer.Option(help="gallery: latest time, likewise")] = None
    rerank: Annotated[bool, typer.Option("--rerank", help="gallery: k-reciprocal re-ranking")] = False
    rig: RigOption = None
    store: StoreOption = None

    def values(self) -> dict[str, Any]:
        """Return what :func:`crossband.reid` takes by name."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rig"}
        bands = {name: given[name] and listed(given[name]) for name in ("query_bands", "gallery_bands")}
        return {**given, **bands, "camera": self.camera or ()}


@dataclass(frozen=True)
class InFlight:
    """What only a search in a thermal flight takes."""

    map: Annotated[
        Path | None,
        typer.Option(
            "--map", help="flight: a folder with tiles.json, a GeoTIFF of labels, or OpenStreetMap's extract"
        ),
    ] = None
    models: Annotated[
        Path | None,
        typer.Option(
            help="flight: networks, as reproduce thermal-reid writes OUT/models; packaged ones without"
        ),
    ] = None
    method: Annotated[
        str | None, typer.Option(help="flight: objects, or equation1, the paper's, where there are models")
    ] = None
    box: Annotated[
        str | None, typer.Option(help="flight: LEFT,TOP,RIGHT,BOTTOM of the object in the photograph, pixels")
    ] = None
    radius: RadiusOption = None
    where: WhereOption = None

    def values(self) -> dict[str, Any]:
        """Return what :func:`crossband.reid` takes by name."""
        read = {"box": self._box(), "where": conditions(self.where)}
        plain = ("map", "models", "method", "radius")
        return {**{name: getattr(self, name) for name in plain}, **read}

    def _box(self) -> tuple[float, float, float, float] | None:
        if self.box is None:
            return None
        from ..uav.pipeline import parse_box  # it imports all of a flight's stages

        return parse_box(self.box)


@app.command("reid")
@takes(InGallery, InFlight, BesideFlight)
def reid_(
    query: Annotated[
        str, typer.Argument(help="an image, BAND=IMAGE,BAND=IMAGE, or a frame's name in the gallery")
    ],
    gallery: Annotated[
        Path | None,
        typer.Option(help="frames to search: a manifest or a folder; the pictures beside the image without"),
    ] = None,
    flight: Annotated[Path | None, typer.Option(help="or a thermal flight: a folder or a video")] = None,
    in_gallery: InGallery = InGallery(),
    in_flight: InFlight = InFlight(),
    k: Annotated[int, typer.Option("-k", min=1, help="number of matches")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="gallery: a strip, .jpg or .png; flight: a folder, uav by default")
    ] = None,
    device: DeviceOption = "cpu",
    *,
    beside: BesideFlight,
    as_json: JsonOption = False,
) -> None:
    """Find the same object across cameras and bands, or that of a photograph in a thermal flight.

    The gallery may span any bands, cameras and hours; with a flight, the object is found on the map too.

    Example: crossband reid rgb=car.png,tir=car_t.png --gallery lastnight --checkpoint best.safetensors

    Example: crossband reid photo.jpg --flight flight --map map --out found
    """
    from ..datasets import open_frames
    from ..object_search import reid

    if flight is None:
        _refuse_unused(in_flight, "a flight (--flight)")
        _refuse_unused(beside, "a flight (--flight)")
    if flight is not None and gallery is None:
        _refuse_unused(in_gallery, "a gallery (--gallery)")
    if gallery is not None and flight is not None:
        raise CrossbandError(
            "reid searches a gallery (--gallery DIR) or a flight (--flight DIR); give one of the two"
        )
    found = reid(
        query if flight else _images_by_band(query),
        gallery if gallery is None or in_gallery.rig is None else open_frames(gallery).with_rig(in_gallery.rig),
        flight=flight,
        k=k,
        out=out,
        device=device,
        **in_gallery.values(),
        **in_flight.values(),
        **beside.values(),
    )
    if as_json:
        print_json(found.to_dict())
    elif flight:
        _print_objects(found, out or Path("uav"))
    else:
        _print_frames(found)


def _print_objects(found: Any, out: Path) -> None:
    table, worth = found.to_pandas(), "distance" if found.probability is None else "probability"
    if worth == "probability":
        table[worth] = [f"{100 * value:.1f} %" for value in table[worth]]
    print_table(table[["rank", "frame", "kind", worth, "seen", "lat", "lon"]])
    print(f"{found.verdict}; page: {out / 'report.html'}")


def _print_frames(found: Any) -> None:
    print_table(found.to_pandas())
    print(
        f"{found.n_gallery} frames searched, {found.n_left_out} left out; by {found.descriptor} of "
        f"{'+'.join(found.query_bands)} against {'+'.join(found.gallery_bands)}"
    )


def _images_by_band(query: str) -> str | dict[str, str]:
    """A query as it is, or BAND=IMAGE,... taken apart."""
    from ..stored import is_there

    parts = [part.partition("=") for part in query.split(",")]
    if is_there(query) or not all(equals and band.isalpha() for band, equals, _ in parts):
        return query
    return {band: path for band, _, path in parts}


def _refuse_unused(given: InGallery | InFlight | BesideFlight, what: str) -> None:
    """Refuse options that would do nothing; what the environment says of all verbs is none."""
    everywhere = os.environ.get("CROSSBAND_STORE")
    unused = [
        "--" + field.name.replace("_", "-")
        for field in fields(given)
        if (value := getattr(given, field.name)) not in (field.default, [])
        and not (field.name == "store" and str(value) == everywhere)
    ]
    if unused:
        raise CrossbandError(f"{', '.join(unused)} only serves {what}; leave it out")
