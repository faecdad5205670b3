"""What several routes share: the service, the parameters of a picture, and where an image comes from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, File, Form, HTTPException, Path, Query, Request, Response, UploadFile

from ...bands import Band, Units
from ...errors import CrossbandError, ImageFault
from ...io import Image
from ..decoding import Source
from ..galleries import ServedGallery
from ..palettes import PALETTES
from ..schemas import Fault
from ..service import Service

__all__ = [
    "REFUSALS",
    "Asked",
    "GalleryOf",
    "Look",
    "ServiceOf",
    "Writable",
    "picture",
    "read_asked",
]

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Fault, "description": text}
    for status, text in {
        400: "a body that cannot be read",
        401: "no token",
        403: "not allowed",
        404: "not there",
        413: "too large",
        422: "a parameter or an image at fault",
        429: "too many requests",
    }.items()
}


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


ServiceOf = Annotated[Service, Depends(_service)]


def _gallery(service: ServiceOf, gallery: Annotated[str, Path(max_length=200)]) -> ServedGallery:
    if gallery not in service.galleries:
        raise HTTPException(404, f"no such gallery; there are {', '.join(service.galleries)}")
    return service.galleries[gallery]


GalleryOf = Annotated[ServedGallery, Depends(_gallery)]


def _writable(service: ServiceOf) -> None:
    if not service.settings.writable:
        raise HTTPException(403, "this server is read-only; start it with --writable")


Writable = Depends(_writable)


@dataclass(frozen=True)
class Look:
    """How a picture is drawn."""

    palette: str
    low: float | None
    high: float | None
    size: int
    crop: tuple[float, float, float, float] | None


def parse_crop(text: str | None) -> tuple[float, float, float, float] | None:
    """Read LEFT,TOP,RIGHT,BOTTOM, shares of the picture.

    Raises:
        CrossbandError: not four numbers in order.
    """
    if text is None or not text.strip():
        return None
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        left = top = right = bottom = -1.0
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise CrossbandError(
            "a crop is LEFT,TOP,RIGHT,BOTTOM, shares from 0 to 1, as in 0.25,0,0.75,1", parameter="crop"
        )
    return left, top, right, bottom


def _look(
    palette: Annotated[
        str, Query(max_length=20, description=f"of thermal pixels: {', '.join(PALETTES)}")
    ] = "iron",
    low: Annotated[float | None, Query(description="degrees Celsius, or counts, of the first color")] = None,
    high: Annotated[float | None, Query(description="of the last color")] = None,
    size: Annotated[int, Query(ge=16, le=4096, description="longer side, at most")] = 1024,
    crop: Annotated[str | None, Query(max_length=100, description="LEFT,TOP,RIGHT,BOTTOM as shares")] = None,
) -> Look:
    if palette not in PALETTES:
        raise CrossbandError(f"a palette is one of {', '.join(PALETTES)}", parameter="palette")
    for end in (low, high):
        if end is not None and not -1e9 < end < 1e9:
            raise CrossbandError("the ends of the range are finite numbers", parameter="low")
    if low is not None and high is not None and low >= high:
        raise CrossbandError("low is below high", parameter="low")
    return Look(palette, low, high, size, parse_crop(crop))


LookOf = Annotated[Look, Depends(_look)]


def picture(
    service: Service,
    request: Request,
    source: Source,
    band: Band,
    units: Units | None,
    look: Look,
    kind: str = "png",
    frame: int = 0,
) -> Response:
    """Answer with a picture; the header ``Crossband-Picture`` says what its colors mean."""
    how: dict[str, Any] = {
        "units": units,
        "palette": look.palette,
        "low": look.low,
        "high": look.high,
        "size": look.size,
    }
    how |= {"crop": look.crop, "kind": kind, "frame": frame}
    tag = hashlib.blake2b(f"{source.key} {band} {how}".encode(), digest_size=12).hexdigest()
    headers = {"cache-control": "private, max-age=600", "etag": f'"{tag}"', "vary": "cookie, authorization"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    told, data = service.decoders.picture(source, band, **how)
    return Response(
        data, media_type=f"image/{kind}", headers={**headers, "crossband-picture": json.dumps(told)}
    )


@dataclass(frozen=True)
class Asked:
    """An image that a request gives or names.

    Attributes:
        image: decoded.
        band: of it.
        item, upload: its name, where it has one.
    """

    image: Image
    band: Band
    item: str | None = None
    upload: str | None = None


ImagePart = Annotated[UploadFile | None, File(description="an image or a video, sent with the request")]
UploadPart = Annotated[str | None, Form(max_length=64, description="or the name of one that was sent before")]
ItemPart = Annotated[str | None, Form(max_length=64, description="or an item of the gallery")]
BandPart = Annotated[Band | None, Form(description="its band; guessed, or an item's own, without")]
UnitsPart = Annotated[Units | None, Form(description="of thermal pixels")]


def read_asked(
    service: Service,
    gallery: ServedGallery | None,
    file: UploadFile | None,
    upload: str | None,
    item: str | None,
    band: Band | None,
    units: Units | None = None,
    frame: int = 0,
    crop: str | None = None,
    what: str = "image",
) -> Asked:
    """Read the one image that a request gives.

    Raises:
        CrossbandError: none or several are given, or it cannot be read.
        HTTPException: no such item or upload.
    """
    upload, item = upload or None, item or None
    given = [one for one in (file, upload, item) if one is not None]
    if len(given) != 1:
        raise CrossbandError(f"give one of an {what} to send, an upload or an item", parameter=what)
    part = parse_crop(crop)
    if item is not None:
        if gallery is None:
            raise CrossbandError("an item is of a gallery; name it too", parameter="gallery")
        source, own, kept = item_source(gallery, item)
        return Asked(service.decoders.pixels(source, own, kept, crop=part), own, item=item)
    source = sent_source(service, file, upload)
    if band is None:
        band = Band(service.decoders.guess(source.data or b"")["band"])
    image = service.decoders.pixels(source, band, units, frame, part)
    return Asked(image, band, upload=upload)


def sent_source(service: Service, file: UploadFile | None, upload: str | None) -> Source:
    """Return the bytes that came with a request, or before.

    Raises:
        HTTPException: no such upload.
        ImageFault: an empty file.
    """
    if upload is not None:
        found = service.uploads.get(upload)
        if found is None:
            raise HTTPException(404, "this picture is no longer kept; send it again")
        return found.source
    assert file is not None
    data = file.file.read()
    if not data:
        raise ImageFault("the image", "empty file (0 bytes)", parameter="image")
    service.telemetry.count("crossband_uploaded_bytes_total", len(data))
    return Source(hashlib.blake2b(data, digest_size=16).hexdigest(), data=data)


def item_source(gallery: ServedGallery, item: str) -> tuple[Source, Band, Units | None]:
    """Return where an item's image lies.

    Raises:
        HTTPException: no such item.
        CrossbandError: its image is gone or changed.
    """
    try:
        return gallery.source(item)
    except KeyError:
        raise HTTPException(404, "no such item") from None
