"""Searching a gallery by its address, as the command line and a notebook do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...datasets import images_by_stem
from ...errors import CrossbandError
from ...frames import Frames
from ..descriptor import DEFAULT_OPTIONS, Options
from ..rerank import DEFAULT_RERANK
from ..search import DEFAULT_MEMORY
from ..search_result import SearchResult
from .gallery import Gallery
from .walk import natural

__all__ = ["search"]


def search(
    images: Any,
    gallery: str | Path,
    k: int = 10,
    *,
    band: str = "rgb",
    where: str | None = None,
    units: str | None = None,
    calibrate: str | Path | None = None,
    store: str | Path | None = None,
    options: Options = DEFAULT_OPTIONS,
    max_memory: int = DEFAULT_MEMORY,
    rerank: int = DEFAULT_RERANK,
    sequence: int | None = None,
    csls: bool = False,
) -> SearchResult:
    """Search a gallery by one image or many; see :meth:`Gallery.search`.

    Args:
        images: the query, or several; a path, an array or a PIL image each; or a folder of images, in the order
            of their names.
        band: the query's band.
        where: a condition on the metadata.
        units: of a thermal query's pixels, and of those of ``calibrate``.
        calibrate: a folder of images of the query's band, when the gallery has no mean of it.
        store: the folder of the descriptor store, for those images; without it, a temporary one.
        options: where weights lie, and the device.
        max_memory: bytes that the gallery may take in memory.
        rerank: how many of the nearest are compared once more, by local features; 0 leaves their order.
        sequence: the images are frames in time, and so many are looked at together.
        csls: take off each item how near it is to everything; see :mod:`crossband.retrieval.hubs`.
    """
    if isinstance(images, str | Path) and Path(images).is_dir():
        inside = images_by_stem(Path(images))
        if not inside:
            raise CrossbandError(f"no images in {Path(images)} to search by")
        images = [inside[stem] for stem in sorted(inside, key=natural)]
    opened = Gallery.open(gallery, options)
    finish = None
    if calibrate is not None:
        rows = [{"frame": key, band: path.name} for key, path in images_by_stem(Path(calibrate)).items()]
        if not rows:
            raise CrossbandError(f"no images in {calibrate} to calibrate with")
        sample = Frames.make(rows, calibrate)
        sample = sample if units is None else sample.assign(tir_units=units)
        finish = opened.calibrated(band, sample, store=store)
    return opened.search(
        images,
        k,
        band=band,
        where=where,
        units=units,
        finish=finish,
        max_memory=max_memory,
        rerank=rerank,
        sequence=sequence,
        csls=csls,
    )
