"""Uploads and searches."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, File, Form, HTTPException, Path, Query, Request, Response, UploadFile

from ...bands import Band, Units
from ...errors import CrossbandError
from ...retrieval.rerank import DEFAULT_RERANK
from .. import schemas
from .common import (
    REFUSALS,
    BandPart,
    GalleryOf,
    ImagePart,
    ItemPart,
    LookOf,
    ServiceOf,
    UnitsPart,
    UploadPart,
    picture,
    read_asked,
    sent_source,
)

router = APIRouter(tags=["search"], responses=REFUSALS)

UploadName = Annotated[str, Path(max_length=64)]
FrameNumber = Annotated[int, Query(ge=0, le=10_000, description="of a video")]


@router.post("/uploads", summary="Send a picture")
def upload(
    service: ServiceOf, image: Annotated[UploadFile, File(description="an image or a video")]
) -> schemas.UploadAnswer:
    """Keep a picture in memory for its searches and comparisons; says what it seems to be."""
    source = sent_source(service, image, None)
    told = service.decoders.guess(source.data or b"")
    return schemas.UploadAnswer(id=service.uploads.put(source.data or b""), **told)


@router.get("/uploads/{upload}/image", summary="A picture that was sent", response_class=Response)
def upload_image(
    service: ServiceOf,
    request: Request,
    upload: UploadName,
    look: LookOf,
    band: Band = Band.RGB,
    units: Units | None = None,
    frame: FrameNumber = 0,
) -> Response:
    """Draw it as PNG, read for a band."""
    source = sent_source(service, None, upload)
    return picture(service, request, source, band, units, look, frame=frame)


@router.get("/uploads/{upload}/temperature", summary="What one pixel of it holds")
def upload_temperature(
    service: ServiceOf,
    upload: UploadName,
    x: Annotated[int, Query(ge=0, le=1_000_000)],
    y: Annotated[int, Query(ge=0, le=1_000_000)],
    band: Band = Band.TIR,
    units: Units | None = None,
    frame: FrameNumber = 0,
) -> schemas.Temperature:
    """Read the pixel in column x and row y."""
    source = sent_source(service, None, upload)
    return schemas.Temperature(**service.decoders.value(source, band, x, y, units=units, frame=frame))


@router.post("/galleries/{gallery}/search", summary="Search")
def search(
    service: ServiceOf,
    gallery: GalleryOf,
    image: ImagePart = None,
    upload: UploadPart = None,
    item: ItemPart = None,
    frame: Annotated[
        str | None, Form(max_length=400, description="or the name of a frame of the gallery")
    ] = None,
    band: BandPart = None,
    units: UnitsPart = None,
    k: Annotated[int, Form(ge=1, le=500)] = 10,
    where: Annotated[str | None, Form(max_length=10_000, description="a condition on the metadata")] = None,
    rerank: Annotated[int, Form(ge=0, le=100, description="first matches compared once more")] = DEFAULT_RERANK,
    least: Annotated[float, Form(ge=0, le=1, description="least probability of the same place")] = 0.0,
    crop: Annotated[str | None, Form(max_length=100, description="LEFT,TOP,RIGHT,BOTTOM as shares")] = None,
    video_frame: Annotated[int, Form(ge=0, le=10_000)] = 0,
) -> schemas.SearchAnswer:
    """Find the items that show what a picture shows; as :func:`crossband.search` does."""
    began = time.perf_counter()
    if frame:
        if image is not None or upload or item:
            raise CrossbandError(
                "give a frame, or an image, an upload or an item; one of them", parameter="frame"
            )
        try:
            item = gallery.by_name(frame, band or Band.RGB)
        except KeyError:
            raise HTTPException(404, f"no frame of that name has {(band or Band.RGB).value}") from None
    asked = read_asked(service, gallery, image, upload, item, band, units, video_frame, crop)
    matches = gallery.search(asked.image, asked.band, k, where, rerank)
    shown = [match for match in matches if least == 0 or (match.same_place or 0.0) >= least]
    height, width = asked.image.size
    query = schemas.Query(
        band=asked.band,
        height=height,
        width=width,
        units=asked.image.units.value,
        item=asked.item,
        upload=asked.upload,
    )
    return schemas.SearchAnswer(
        gallery=gallery.name,
        query=query,
        matches=[schemas.Found(**one) for one in gallery.told_matches(shown)],
        hidden=len(matches) - len(shown),
        seconds=time.perf_counter() - began,
    )
