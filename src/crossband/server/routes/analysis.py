"""What networks say of one or two pictures: registration, classes, objects."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Annotated, Literal

import numpy as np
import PIL.Image
from fastapi import APIRouter, Form

from ...bands import Band
from ...errors import CrossbandError
from .. import schemas
from .common import REFUSALS, BandPart, ImagePart, ItemPart, ServiceOf, UnitsPart, UploadPart, read_asked

router = APIRouter(tags=["pictures"], responses=REFUSALS)

GalleryPart = Annotated[str | None, Form(max_length=200, description="whose items are named")]


@router.post("/align", summary="Lay one picture over another")
def align(
    service: ServiceOf,
    first: ImagePart = None,
    first_upload: UploadPart = None,
    first_item: ItemPart = None,
    first_band: BandPart = None,
    first_crop: Annotated[str | None, Form(max_length=100)] = None,
    second: ImagePart = None,
    second_upload: UploadPart = None,
    second_item: ItemPart = None,
    second_band: BandPart = None,
    gallery: GalleryPart = None,
    units: UnitsPart = None,
    model: Annotated[Literal["similarity", "affine", "homography"], Form()] = "homography",
    picture: Annotated[bool, Form(description="with the second picture, warped")] = False,
) -> schemas.Registration:
    """Register two pictures of any bands, as ``crossband align`` does."""
    among = service.galleries.get(gallery or "")
    one = read_asked(
        service, among, first, first_upload, first_item, first_band, units, crop=first_crop, what="first"
    )
    other = read_asked(service, among, second, second_upload, second_item, second_band, units, what="second")
    aligner = service.aligner(model)
    ours = aligner.read(one.image, one.band, name="the first image")
    theirs = aligner.read(other.image, other.band, name="the second image")
    with service.network:
        found = aligner.align(ours, theirs)
    warped = None
    if picture:
        import cv2

        height, width = ours.gray.shape
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        laid = cv2.warpPerspective(theirs.gray, found.matrix, (width, height), flags=flags)
        warped = _png(PIL.Image.fromarray((laid.clip(0, 1) * 255).round().astype(np.uint8)))
    return schemas.Registration(
        matrix=found.matrix.tolist(),
        model=found.model,
        inliers=found.inliers,
        same_place=found.same_place,
        error_px=found.error_px,
        refined=found.refined,
        matches=np.asarray(found.matches).tolist(),
        first_size=one.image.size,
        second_size=other.image.size,
        warped_png=warped,
    )


@router.post("/segment", summary="Classes of an RGB-thermal pair")
def segment(
    service: ServiceOf,
    rgb: ImagePart = None,
    rgb_upload: UploadPart = None,
    rgb_item: ItemPart = None,
    tir: ImagePart = None,
    tir_upload: UploadPart = None,
    tir_item: ItemPart = None,
    gallery: GalleryPart = None,
    units: UnitsPart = None,
) -> schemas.Segments:
    """Label each pixel, as ``crossband segment`` does; a band that is not given is read as black."""
    from ...segmentation.classes import palette

    among = service.galleries.get(gallery or "")
    given = {Band.RGB: (rgb, rgb_upload, rgb_item), Band.TIR: (tir, tir_upload, tir_item)}
    images = {
        band: read_asked(service, among, *parts, band, units, what=band.value).image
        for band, parts in given.items()
        if any(parts)
    }
    network = service.segmenter()
    if not images:
        raise CrossbandError("give an rgb image, a tir image, or both", parameter="rgb")
    with service.network:
        labels = network.labels(images)
    colors = palette(network.classes)
    shown = PIL.Image.fromarray(labels)
    shown.putpalette(colors.ravel().tolist())
    counts = np.bincount(labels.ravel(), minlength=len(network.classes))
    classes = [
        schemas.SegmentClass(
            name=name, color="#{:02x}{:02x}{:02x}".format(*color), share=100 * int(n) / labels.size
        )
        for name, color, n in zip(network.classes, colors.tolist(), counts, strict=True)
    ]
    height, width = labels.shape
    return schemas.Segments(
        height=height, width=width, bands=list(images), classes=classes, labels_png=_png(shown)
    )


@router.post("/detect", summary="Objects of a thermal picture")
def detect(
    service: ServiceOf,
    image: ImagePart = None,
    upload: UploadPart = None,
    item: ItemPart = None,
    gallery: GalleryPart = None,
    units: UnitsPart = None,
    least: Annotated[float, Form(ge=0, le=1, description="score of an object, at least")] = 0.3,
) -> schemas.Boxes:
    """Find objects, as ``crossband detect`` does."""
    from ...uav.pictures import detect_pixels

    among = service.galleries.get(gallery or "")
    asked = read_asked(service, among, image, upload, item, Band.TIR, units)
    detector = service.detector()
    if detector.network.semantics:
        raise CrossbandError("this network reads a map beside the image; it detects in flights alone")
    with service.network:
        boxes = detect_pixels(detector, asked.image.pixels, asked.image.units, least)
    height, width = asked.image.size
    listed = [
        schemas.Box(
            kind=detector.classes[int(box[5])],
            score=float(box[4]),
            left=float(box[0]),
            top=float(box[1]),
            right=float(box[2]),
            bottom=float(box[3]),
        )
        for box in boxes
    ]
    return schemas.Boxes(height=height, width=width, boxes=listed)


def _png(image: PIL.Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
