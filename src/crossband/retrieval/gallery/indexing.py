"""Put the images of frames into a gallery: make it with the means of every band, or add to it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...bands import Band, Normalization, parse_band
from ...data.preprocess import Placement
from ...datasets import is_text
from ...engines import IN_PROCESS, Engine
from ...errors import CrossbandError
from ...files import make_folder
from ...frames import Frames
from ...progress import note, says_once
from ...stored import resolved
from ..descriptor import (
    DEFAULT_DESCRIPTOR,
    DEFAULT_OPTIONS,
    Descriptor,
    Options,
)
from ..embed import Embedding, embed
from .gallery import Added, Gallery
from .homes import FolderHome, Home, home_of
from .metadata import check_dtype
from .working import working_folder

__all__ = ["index", "index_pieces"]

_SAMPLE, _SAMPLE_BYTES = 20_000, 256 << 20  # vectors that a coding is chosen by


@says_once
def index(
    frames: Frames,
    gallery: str | Path,
    model: str | Descriptor | None = None,
    bands: str | Sequence[str] | None = None,
    *,
    options: Options = DEFAULT_OPTIONS,
    dtype: str | None = None,
    store: str | Path | None = None,
    workers: int | None = None,
    local: bool = False,
    engine: Engine = IN_PROCESS,
) -> Added:
    """Add the images of frames to a gallery, creating it where it does not exist.

    A new gallery takes the mean of **every** band the frames have, not only of those it keeps, so that
    queries of the other bands can be centered. The means never change afterwards.

    Args:
        frames: what to index.
        gallery: the gallery's folder, ``s3://BUCKET/PREFIX`` (``gs://``, ``az://``) or
            ``milvus://HOST:PORT/NAME``.
        model: the descriptor; for a gallery that is there, its own, and any other is refused.
        bands: the bands to keep; without them all of the frames', in a gallery that is there those it has.
        options: how images are read and where weights lie; for a gallery that is there, how images are read
            is its own, and what is given otherwise than the default is refused where it differs.
        dtype: ``float32``, as by default, ``float16``, ``int8``, ``pq`` or ``binary``; for a gallery that is
            there, its own.
        store: the folder of the descriptor store; without it, one inside the gallery, or of the user's cache
            where the gallery is in no folder, that is removed at the end. A run that is stopped or killed
            continues from it.
        workers: threads that read.
        local: keep the local features of the images too, about 100 kB each, so that searches are re-ranked
            without the images; only images that are added now.
        engine: who describes the images: this process, or a cluster's workers. This process alone writes the
            gallery, by key, so that what a dying worker had in hand is there once.

    Raises:
        CrossbandError: another model than the gallery's, or nothing that can be indexed.
    """
    if str(gallery).strip() == "":
        raise CrossbandError("the gallery's folder is empty text; name one", parameter="gallery")
    home = home_of(gallery)
    bands = [bands] if isinstance(bands, str) else bands
    kept = list(dict.fromkeys(parse_band(band) for band in bands)) if bands else list(frames.bands)
    for band in kept:
        frames.paths(band)  # refused now where the frames lack it, before any work
    if dtype is not None:
        check_dtype(dtype)
    if not is_text(resolved(frames.root)):
        raise CrossbandError(
            f"a gallery keeps paths as UTF-8, and the folder {os.fsencode(frames.root)!r} is none; rename it"
        )
    there = _prepared(home, store)
    with working_folder(home.work, store) as work:
        if there:
            opened = Gallery.open(gallery, options)
            _check_same(opened, model, options, dtype)
            _check_rig(opened, frames)
            kept = kept if bands else opened.bands(kept)
        else:
            opened = _created(frames, gallery, model, kept, options, dtype, work, workers, engine)
        return opened.add(frames, kept, store=work, workers=workers, local=local, engine=engine)


def index_pieces(pieces: Iterable[Frames], gallery: str | Path, **settings: Any) -> Added:
    """Add a manifest some frames at a time, so that none is in memory whole.

    A new gallery takes the means of the first piece's bands, so that it should be of many places.

    Args:
        pieces: as :func:`crossband.datasets.open_pieces` gives them.
        gallery: as of :func:`index`, which gets each piece; ``settings`` likewise.

    Raises:
        CrossbandError: no frames, or as :func:`index`.
    """
    whole: Added | None = None
    for piece in pieces:
        added = index(piece, gallery, **settings)
        if whole is not None:
            counts = ("added", "unchanged", "faults", "replaced", "updated")
            added = Added(*(getattr(whole, name) + getattr(added, name) for name in counts))
        whole = added
    if whole is None:
        raise CrossbandError("the manifest has no frames")
    return whole


def _prepared(home: Home, store: str | Path | None) -> bool:
    """Whether the gallery is there; refuses what cannot be written before any work."""
    there = home.exists()
    if isinstance(home, FolderHome):
        if not there and home.work == Path():  # what an empty variable of a shell becomes
            raise CrossbandError(
                "no gallery is made in the current folder itself; name one", parameter="gallery"
            )
        if there:
            make_folder(home.work)
        elif store is not None:
            make_folder(home.work.parent)
    elif store is None:
        make_folder(home.work.parent)
    return there


def _created(
    frames: Frames,
    gallery: str | Path,
    model: str | Descriptor | None,
    kept: list[Band],
    options: Options,
    dtype: str | None,
    work: Path,
    workers: int | None,
    engine: Engine,
) -> Gallery:
    """A gallery with the means of frames; the one that another process made meanwhile, if one did."""
    descriptor = Descriptor.of(model or DEFAULT_DESCRIPTOR, options).for_frames(frames)
    embedding = embed(frames, descriptor, store=work, workers=workers, required=kept, engine=engine)
    for band in frames.bands:
        if band not in embedding.bands and descriptor.center and band not in (descriptor.means or {}):
            note(
                f"no {band.value} image can be used; {band.value} queries are best given images to calibrate by"
            )
    means = {**(descriptor.means or {}), **embedding.means()} if descriptor.center else None
    descriptor = replace(descriptor, means=means)
    try:
        sample = _sample(embedding, descriptor, kept)
        return Gallery.create(gallery, descriptor, sample, dtype or "float32", kept)
    except CrossbandError:
        if not home_of(gallery).exists():
            raise
    opened = Gallery.open(gallery, options)
    _check_same(opened, model, options, dtype)
    return opened


def _check_same(gallery: Gallery, model: str | Descriptor | None, options: Options, dtype: str | None) -> None:
    """Refuse what is given by hand and is not the gallery's own."""
    own = gallery.descriptor.preprocess
    if model is not None:
        # how images are read is the gallery's own, whatever the options
        wanted = replace(Descriptor.of(model, options), preprocess=own)
        if wanted.identity != gallery.descriptor.identity:
            raise _other(gallery, "model", gallery.descriptor.name, str(getattr(model, "name", model)))
    if options.size not in (DEFAULT_OPTIONS.size, own.size):
        sizes = [f"{width}x{height}" for height, width in (own.size, options.size)]
        raise _other(gallery, "size", *sizes)
    for name, text in (options.normalization or {}).items():
        band = parse_band(name)
        if (given := Normalization.parse(text)) != own.normalization[band]:
            raise _other(gallery, "normalization", f"{band}={own.normalization[band]}", f"{band}={given}")
    for band, statistics in (options.statistics or {}).items():
        if statistics != own.statistics[band]:
            raise _other(gallery, "set_statistics", f"other statistics of {band}", "these")
    if options.rig and dict(options.rig) != dict(own.rig):
        raise _other(gallery, "view", "another view or turn", "these")
    has = gallery.coding.dtype
    if dtype not in (None, has):
        raise _other(gallery, "dtype", has, str(dtype))


def _check_rig(gallery: Gallery, frames: Frames) -> None:
    """Refuse frames of another rig or view than the gallery's; those of none are read as the gallery's own."""
    placed = gallery.descriptor.preprocess.rig
    for band, place in Placement.of_text(frames.one("turn"), frames.one("view")).items():
        own_place = placed.get(band, Placement())
        if (own_place.turn, own_place.view) != (place.turn, place.view):
            raise _other(gallery, "view", f"another view or turn of {band.value}", "that of these frames")
    own = gallery.descriptor.preprocess.transform
    if frames.rig is not None and frames.rig != own:
        raise _other(gallery, "rig", "another rig" if own is not None else "no rig", "this one")


def _other(gallery: Gallery, option: str, has: str, given: str) -> CrossbandError:
    return CrossbandError(
        f"the gallery {gallery.home} was made with {has}, not with {given}; "
        f"leave the {option.replace('_', ' ')} out, or index into another gallery",
        parameter=option,
    )


def _sample(embedding: Embedding, descriptor: Descriptor, bands: list[Band]) -> np.ndarray:
    """Some final vectors of the bands to keep."""
    finish = descriptor.finish(None)
    parts = [embedding.bands[band] for band in bands if band in embedding.bands]
    if not parts:
        have = ", ".join(band.value for band in embedding.bands)
        raise CrossbandError(f"none of the bands {', '.join(bands)} is in these frames, which have {have}")
    most = [max(1, min(_SAMPLE, _SAMPLE_BYTES // (4 * part.pooled.shape[1]))) for part in parts]
    return np.concatenate(
        [finish(part.pooled.rows(0, n), part.band) for n, part in zip(most, parts, strict=True)]
    )
