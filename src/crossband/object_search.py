"""Where is the same object? In a gallery of frames, or in a thermal flight and on its map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CrossbandError
from .progress import note, says_once
from .results import Result

if TYPE_CHECKING:
    from .frames import Frames
    from .reid.search import ReidNetwork

__all__ = ["reid"]


@says_once
def reid(
    query: str | Path | Mapping[str, str | Path],
    gallery: str | Path | Frames | None = None,
    checkpoint: str | Path | ReidNetwork | None = None,
    *,
    flight: str | Path | None = None,
    map: str | Path | None = None,
    models: str | Path | None = None,
    method: str | None = None,
    k: int = 10,
    band: str = "rgb",
    query_bands: Sequence[str] | None = None,
    gallery_bands: Sequence[str] | None = None,
    camera: Sequence[str] = (),
    after: str | None = None,
    before: str | None = None,
    rerank: bool = False,
    box: Sequence[float] | None = None,
    radius: float | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
    log: str | Path | None = None,
    clock: float | None = None,
    terrain: str | Path | None = None,
    lens: Sequence[float] | None = None,
    out: str | Path | None = None,
    store: str | Path | None = None,
    device: str = "cpu",
) -> Result:
    """Find the frames, or the places, that show the object of a query.

    In a ``gallery`` over any bands, cameras and hours, by a ``checkpoint`` of re-identification
    (:func:`crossband.reid.search.reid`); or, of a color photograph, in a thermal ``flight`` and on its ``map``,
    by packaged networks or a folder of ``models`` (:func:`crossband.uav.pipeline.reid`).

    Args:
        query: an image, the name of a frame of the gallery, or band -> image.
        gallery: frames to search: a manifest, a folder, or frames; what lies beside the query without.
        checkpoint: gallery: of a recipe of re-identification; the packaged network without.
        flight: or a thermal flight: a folder or a video.
        map: flight: a folder with ``tiles.json``, or a georeferenced label raster; without, positions are the
            flight's own.
        models: flight: the folder of networks of the paper's way; the packaged ones without.
        method: flight: ``objects`` or, as in the paper, ``equation1``; the latter where there are models.
        k: how many matches.
        band: gallery: of a query that is one image.
        query_bands: gallery: of those the query has, which to use; all by default.
        gallery_bands: gallery: likewise.
        camera: gallery: only frames of these.
        after: gallery: not earlier, ISO 8601 or seconds; ``before`` not later.
        before: see ``after``.
        rerank: gallery: by k-reciprocal neighbors.
        box: flight: left, top, right, bottom of the object in the photograph, pixels.
        radius: flight: meters searched around each rough position.
        where: flight: column of its table -> values that are kept.
        log: flight: a CSV table or GPX track of the aircraft, joined by time.
        clock: flight: seconds to add to the frames' times to get the log's; found where ``None``.
        terrain: flight: an elevation raster (GeoTIFF, meters); the ground is flat without.
        lens: flight: distortion as OpenCV has it: k1, k2, p1, p2 and perhaps k3.
        out: gallery: a picture of the matches, .jpg or .png, if wanted; flight: the folder, ``uav`` by default.
        store: gallery: a folder where descriptors are kept for the next query.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        CrossbandError: both a gallery and a flight, or a file that is missing or wrong.
    """
    if gallery is None and flight is None:
        gallery = _beside(query, band)
    if gallery is not None and flight is None:
        bands = {"band": band, "query_bands": query_bands, "gallery_bands": gallery_bands}
        seen = {"camera": camera, "after": after, "before": before}
        asked = {**bands, **seen, "rerank": rerank, "store": store, "device": device}
        return _in_gallery(query, gallery, checkpoint, k, out, asked)
    if flight is None or gallery is not None or isinstance(query, Mapping):
        raise CrossbandError("reid searches a gallery, or, of one photograph, a flight; give one of the two")
    from .uav.flight import Beside
    from .uav.pipeline import reid as in_flight

    kept = {name: list(values) for name, values in where.items()} if where else None
    return in_flight(
        query,
        flight,
        map,
        models,
        out or "uav",
        method=method,
        box=box,
        k=k,
        radius=radius,
        where=kept,
        beside=Beside(log, clock, terrain, lens),
        device=device,
    )


def _beside(query: str | Path | Mapping[str, str | Path], band: str) -> Frames:
    """The pictures beside a query, where nothing else is said to be searched."""
    from .reid.search import frames_beside

    first, file = next(iter(query.items())) if isinstance(query, Mapping) else (band, query)
    if not Path(file).is_file():
        raise CrossbandError(
            f"{file} is no picture, beside which others could be searched; give a gallery (--gallery DIR) or a "
            "flight (--flight DIR)"
        )
    frames = frames_beside(file, first)
    note(f"searches the pictures beside it: {len(frames)} frames of {frames.root}")
    return frames


def _in_gallery(
    query: str | Path | Mapping[str, str | Path],
    gallery: str | Path | Frames,
    checkpoint: str | Path | ReidNetwork | None,
    k: int,
    out: str | Path | None,
    asked: Mapping[str, Any],
) -> Result:
    from .files import check_output
    from .models.packaged import checkpoint_for
    from .reid.search import reid

    if out is not None:
        check_output(out, (".jpg", ".jpeg", ".png"))
    if k < 1:
        raise CrossbandError(f"k is at least 1, not {k}", parameter="k")
    network = checkpoint
    if network is None or isinstance(network, str | Path):
        network = checkpoint_for("reidentification", network)
    found = reid(query, gallery, network, k, **asked)
    if out is not None:
        found.save_strip(out)
    return found
