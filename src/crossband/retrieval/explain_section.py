"""What the report shows of an explanation: pictures, each with the sentence that says how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..bands import Band
from ..frames import Frames
from ..reports.strips import Tile, strip
from .figures import data_address, heat_picture, plot_centroids, plot_distances, plot_plane, themed

if TYPE_CHECKING:
    from .explain import Explanation, Heat, ModelExplanation

__all__ = ["Chart", "HeatRow", "ModelSection", "sections"]


@dataclass(frozen=True)
class Chart:
    """A figure for a light and for a dark page, and what it shows."""

    light: str
    dark: str
    title: str
    alt: str


@dataclass(frozen=True)
class HeatRow:
    """Pictures of one query and one gallery image."""

    title: str
    right: bool
    pictures: list[tuple[str, str]]


@dataclass(frozen=True)
class ModelSection:
    """All pictures of one model."""

    explained: ModelExplanation
    curves: list[Chart]
    planes: list[Chart]
    centroids: Chart | None
    heats: list[HeatRow]
    worst: tuple[str, str] | None


def sections(explanation: Explanation, frames: Frames) -> list[ModelSection]:
    """Make the pictures of every model."""
    return [_section(model, frames) for model in explanation.models]


def _section(model: ModelExplanation, frames: Frames) -> ModelSection:
    bands = (model.query_band, model.gallery_band)
    curves = []
    for curve in model.curves:
        alt = f"Distances of query {curve.query} to every gallery image by {model.model}"
        curves.append(Chart(*themed(partial(plot_distances, curve)), f"query {curve.query}", alt))
    planes = []
    for plane in model.planes:
        alt = f"Descriptors of both bands by {model.model} in the plane, {plane.method}"
        planes.append(Chart(*themed(partial(plot_plane, plane, bands)), f"{len(plane.frames)} images", alt))
    centroids = None
    if model.centroids is not None:
        alt = f"Distances between the places' centroids by {model.model}"
        centroids = Chart(*themed(partial(plot_centroids, model.centroids, bands)), "centroids", alt)
    paths = {band: dict(zip(frames.names, frames.paths(band), strict=True)) for band in bands}
    heats = [_heat_row(heat, model, paths) for heat in model.heats]
    return ModelSection(model, curves, planes, centroids, heats, _worst(model, paths))


def _heat_row(heat: Heat, model: ModelExplanation, paths: dict) -> HeatRow:
    ours, theirs = Band(model.query_band), Band(model.gallery_band)
    query, item = paths[ours.value][heat.query], paths[theirs.value][heat.item]
    kind = "its match" if heat.right else "found first, wrong"
    pictures = [
        (data_address(heat_picture(query, ours, None)), f"query {heat.query}"),
        (data_address(heat_picture(query, ours, heat.on_query.values)), "what of it counts"),
        (data_address(heat_picture(item, theirs, None)), f"{kind}: {heat.item}"),
        (data_address(heat_picture(item, theirs, heat.on_item.values)), "what of it counts"),
    ]
    title = f"{heat.query} and {heat.item}, {kind}, distance {heat.on_query.distance:.3f}"
    return HeatRow(title, heat.right, pictures)


def _worst(model: ModelExplanation, paths: dict) -> tuple[str, str] | None:
    rows = []
    for example in model.worst:
        tile = Tile(
            paths[model.query_band][example.query] or "",
            model.query_band,
            f"query {example.query}",
            f"its match ranks {example.rank}",
        )
        row = [tile]
        for rank, (name, distance, right) in enumerate(example.found, 1):
            path = paths[model.gallery_band][name] or ""
            mark = (
                True if right else (False if rank < example.rank else None)
            )  # what lies behind it is not wrong
            row.append(Tile(path, model.gallery_band, f"{rank}.  {name}", f"distance {distance:.3f}", mark))
        rows.append(row)
    return (data_address(strip(rows)), data_address(strip(rows, dark=True))) if rows else None
