"""The picture of a result: the photograph, its translation, the nearest objects, and where they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import write_file
from .flight import Flight
from .ground_classes import GROUND
from .semantic_map import SemanticMap
from .stages import Position
from .translate import Photograph, Thermal

if TYPE_CHECKING:
    from .pipeline import ReidResult

__all__ = ["save_reid"]

_COLORS = ("#8b8f98", "#c9c2b4", "#9fc28a", "#b3876b", "#4f8a55", "#f2f2f2")
_SHOWN = 5
_AROUND = 2.2  # sides of the box that a cut-out shows


def save_reid(
    path: Path,
    photograph: Photograph,
    thermal: Thermal,
    flight: Flight,
    ground: SemanticMap,
    positions: list[Position],
    result: ReidResult,
) -> Path:
    """Write the picture of a result.

    Args:
        path: .jpg or .png.
        photograph: what was asked for.
        thermal: its translation.
        flight: what was searched.
        ground: the map.
        positions: of the frames.
        result: what was found.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(14, 4.3), layout="constrained")
    grid = figure.add_gridspec(2, _SHOWN + 3, width_ratios=[1.0, *[1.0] * _SHOWN, 1.2, 1.2])
    asked, made = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    asked.imshow(photograph.pixels.permute(1, 2, 0).numpy(), interpolation="nearest")
    asked.add_patch(_frame(Rectangle, photograph.box, "#d7263d"))
    asked.set_title("photograph", fontsize=10, loc="left")
    low, high = _range(flight, result, thermal)
    shown = made.imshow(thermal.kelvin - 273.15, cmap="inferno", vmin=low, vmax=high, interpolation="nearest")
    made.add_patch(_frame(Rectangle, thermal.box, "#7fd7ff"))
    made.set_title("as thermal", fontsize=10, loc="left")
    for column in range(_SHOWN):
        whole, close = figure.add_subplot(grid[0, 1 + column]), figure.add_subplot(grid[1, 1 + column])
        if column >= len(result.matches):
            whole.axis("off")
            close.axis("off")
            continue
        _match(whole, close, result.matches[column], flight, low, high, Rectangle, result.threshold)
    where = figure.add_subplot(grid[:, 1 + _SHOWN :])
    _map(where, ground, positions, result)
    for axis in figure.axes:
        if axis is not where:
            axis.set_anchor("NW")
            axis.set_xticks([])
            axis.set_yticks([])
    bar = figure.colorbar(shown, ax=[made], location="bottom", shrink=0.9, pad=0.02)
    bar.set_label("degrees Celsius", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    verdict = (
        "the nearest object is near enough to be the one"
        if result.there
        else "not there: nothing is near enough"
    )
    figure.suptitle(
        f"{verdict} (threshold {result.threshold:.3f}); {result.n_objects} objects in {result.n_frames} frames",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    kind = path.suffix.lstrip(".").lower()
    return write_file(
        path, lambda partial: figure.savefig(partial, dpi=110, format="jpeg" if kind == "jpg" else kind)
    )


def _frame(rectangle: Any, box: tuple[float, float, float, float], color: str) -> Any:
    return rectangle(
        (box[0] - 0.5, box[1] - 0.5), box[2] - box[0], box[3] - box[1], fill=False, ec=color, lw=1.6
    )


def _range(flight: Flight, result: ReidResult, thermal: Thermal) -> tuple[float, float]:
    """One scale for all, in degrees Celsius: what the shown objects and the photograph span."""
    values = [thermal.kelvin.ravel()]
    for match in result.matches[:_SHOWN]:
        values.append(_close(flight.kelvin(flight.names.index(match.frame)), match.box)[0].ravel())
    low, high = np.percentile(np.concatenate(values) - 273.15, (1, 99.5))
    return float(low), float(max(high, low + 1))


def _close(image: np.ndarray, box: tuple[float, float, float, float]) -> tuple[np.ndarray, int, int]:
    """A square part of an image around a box, moved inside the image, and its left and upper edge."""
    side = min(int(_AROUND * max(box[2] - box[0], box[3] - box[1], 8)), *image.shape)
    left = min(max(int((box[0] + box[2] - side) / 2), 0), image.shape[1] - side)
    top = min(max(int((box[1] + box[3] - side) / 2), 0), image.shape[0] - side)
    return image[top : top + side, left : left + side], left, top


def _match(
    whole: Any,
    close: Any,
    match: Any,
    flight: Flight,
    low: float,
    high: float,
    rectangle: Any,
    threshold: float,
) -> None:
    celsius = flight.kelvin(flight.names.index(match.frame)) - 273.15
    near = match.distance <= threshold
    color = "#7fd7ff" if near else "#b9b9b9"
    whole.imshow(celsius, cmap="inferno", vmin=low, vmax=high)
    whole.add_patch(_frame(rectangle, match.box, color))
    part, left, top = _close(celsius, match.box)
    close.imshow(part, cmap="inferno", vmin=low, vmax=high, interpolation="nearest")
    inside = match.box[0] - left, match.box[1] - top, match.box[2] - left, match.box[3] - top
    close.add_patch(_frame(rectangle, inside, color))
    whole.set_title(f"{match.rank}  {match.kind}, {match.distance:.3f}", fontsize=10, loc="left")
    close.set_title(f"frame {match.frame}", fontsize=8, loc="left")


def _map(axis: Any, ground: SemanticMap, positions: list[Position], result: ReidResult) -> None:
    from matplotlib.colors import ListedColormap

    width, height = ground.extent
    step = max(1, max(ground.labels.shape) // 1000)
    labels = np.minimum(ground.labels[::step, ::step], len(GROUND))
    axis.imshow(
        labels,
        cmap=ListedColormap(_COLORS),
        vmin=0,
        vmax=len(GROUND),
        extent=(0, width, 0, height),
        alpha=0.75,
        interpolation="nearest",
    )
    axis.plot(
        [p.x for p in positions],
        [p.y for p in positions],
        "-o",
        color="#1d3557",
        lw=0.8,
        ms=2.5,
        label="frames",
    )
    placed = [m for m in result.matches if m.x is not None and m.y is not None]
    axis.scatter(
        [m.x for m in placed[1:]],
        [m.y for m in placed[1:]],
        s=14,
        c="#f4a261",
        ec="black",
        lw=0.4,
        label="other matches",
    )
    if placed:
        axis.scatter(
            [placed[0].x],
            [placed[0].y],
            s=90,
            marker="*",
            c="#d7263d",
            ec="black",
            lw=0.5,
            zorder=5,
            label="nearest match",
        )
    xs = [p.x for p in positions] + [m.x for m in placed if m.x is not None]
    ys = [p.y for p in positions] + [m.y for m in placed if m.y is not None]
    middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    reach = max(max(xs) - min(xs), max(ys) - min(ys), 60) / 2 + 25
    axis.set_xlim(middle[0] - reach, middle[0] + reach)
    axis.set_ylim(middle[1] - reach, middle[1] + reach)
    axis.set_aspect("equal")
    axis.set_xlabel("meters east", fontsize=8)
    axis.set_ylabel("meters north", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False)
    if placed:
        axis.set_title(f"{placed[0].lat:.6f}, {placed[0].lon:.6f}", fontsize=10, loc="left")
