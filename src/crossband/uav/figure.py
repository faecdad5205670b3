"""The pictures of a search in a flight: the photograph, the objects found, and where they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import write_file
from .answer import ObjectMatch, ellipse
from .flight import Flight
from .ground_classes import GROUND, UNKNOWN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .pipeline import Searched
    from .semantic_map import SemanticMap

__all__ = ["close_up", "map_figure", "save_reid"]

_COLORS = ("#8b8f98", "#c9c2b4", "#9fc28a", "#b3876b", "#4f8a55", "#f2f2f2")
_ALPHA = 0.75  # of the map's colors
_SHOWN = 5
_AROUND = 2.2  # sides of the box that a cut-out shows


def save_reid(path: Path, searched: Searched) -> Path:
    """Write the picture of a result, .jpg or .png: the first objects, each in its best frame, and the map."""
    from matplotlib.figure import Figure

    result = searched.result
    figure = Figure(figsize=(14, 4.3), layout="constrained")
    grid = figure.add_gridspec(2, _SHOWN + 3, width_ratios=[1.0, *[1.0] * _SHOWN, 1.2, 1.2])
    asked, made = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    _show_photograph(asked, searched)
    scale = _range(searched)
    shown = _show_translation(made, searched, scale)
    for column in range(_SHOWN):
        whole, close = figure.add_subplot(grid[0, 1 + column]), figure.add_subplot(grid[1, 1 + column])
        if column < len(result.matches):
            _show_match(whole, close, result.matches[column], searched, scale)
        else:
            whole.axis("off")
            close.axis("off")
    where = figure.add_subplot(grid[:, 1 + _SHOWN :])
    _show_map(where, searched)
    for axis in figure.axes:
        if axis is not where:
            axis.set_anchor("NW")
            axis.set_xticks([])
            axis.set_yticks([])
    if shown is not None:
        bar = figure.colorbar(shown, ax=[made], location="bottom", shrink=0.9, pad=0.02)
        bar.set_label("degrees Celsius", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    figure.suptitle(
        f"{result.verdict}; {result.n_objects} objects in {result.n_frames} frames",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    kind = path.suffix.lstrip(".").lower()
    return write_file(
        path, lambda partial: figure.savefig(partial, dpi=110, format="jpeg" if kind == "jpg" else kind)
    )


def map_figure(searched: Searched) -> Figure:
    """Draw the map with the aircraft's track and the objects, and the error ellipse of the first."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 7.5), layout="constrained")
    _show_map(figure.add_subplot(), searched)
    return figure


def close_up(flight: Flight, frame: str, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return the part of a frame around a box, ``(h, w)``: degrees Celsius, or counts."""
    return _close(_shown(flight, flight.names.index(frame)), box)[0]


def _show_photograph(axis: Any, searched: Searched) -> None:
    axis.imshow(searched.photograph.pixels.permute(1, 2, 0).numpy(), interpolation="nearest")
    axis.add_patch(_frame(searched.photograph.box, "#d7263d"))
    axis.set_title("photograph", fontsize=10, loc="left")


def _show_translation(axis: Any, searched: Searched, scale: tuple[float, float]) -> Any:
    """The photograph as thermal, where it was translated."""
    thermal = searched.thermal
    if thermal is None:
        axis.axis("off")
        return None
    low, high = scale
    image = axis.imshow(thermal.kelvin - 273.15, cmap="inferno", vmin=low, vmax=high, interpolation="nearest")
    axis.add_patch(_frame(thermal.box, "#7fd7ff"))
    axis.set_title("as thermal", fontsize=10, loc="left")
    return image


def _frame(box: tuple[float, float, float, float], color: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (box[0] - 0.5, box[1] - 0.5), box[2] - box[0], box[3] - box[1], fill=False, ec=color, lw=1.6
    )


def _shown(flight: Flight, row: int) -> np.ndarray:
    """A frame in degrees Celsius, or in counts where it has no temperatures."""
    if flight.thermometric:
        return flight.kelvin(row) - 273.15
    return flight.pixels(row)[0].astype(np.float32)


def _range(searched: Searched) -> tuple[float, float]:
    """One scale for all: what the shown objects and the translation span."""
    values = [] if searched.thermal is None else [searched.thermal.kelvin.ravel() - 273.15]
    values += [
        close_up(searched.flight, one.frame, one.box).ravel() for one in searched.result.matches[:_SHOWN]
    ]
    if not values:
        return 0.0, 1.0
    low, high = np.percentile(np.concatenate(values), (1, 99.5))
    return float(low), float(max(high, low + 1))


def _close(image: np.ndarray, box: tuple[float, float, float, float]) -> tuple[np.ndarray, int, int]:
    """A square part of an image around a box, moved inside the image, and its left and upper edge."""
    side = min(int(_AROUND * max(box[2] - box[0], box[3] - box[1], 8)), *image.shape)
    left = min(max(int((box[0] + box[2] - side) / 2), 0), image.shape[1] - side)
    top = min(max(int((box[1] + box[3] - side) / 2), 0), image.shape[0] - side)
    return image[top : top + side, left : left + side], left, top


def _show_match(
    whole: Any, close: Any, match: ObjectMatch, searched: Searched, scale: tuple[float, float]
) -> None:
    image = _shown(searched.flight, searched.flight.names.index(match.frame))
    low, high = scale
    near = match.distance <= searched.result.threshold if match.probability is None else match.rank == 1
    color = "#7fd7ff" if near and searched.result.there else "#b9b9b9"
    whole.imshow(image, cmap="inferno", vmin=low, vmax=high)
    whole.add_patch(_frame(match.box, color))
    part, left, top = _close(image, match.box)
    close.imshow(part, cmap="inferno", vmin=low, vmax=high, interpolation="nearest")
    inside = match.box[0] - left, match.box[1] - top, match.box[2] - left, match.box[3] - top
    close.add_patch(_frame(inside, color))
    worth = f"{match.distance:.3f}" if match.probability is None else f"{100 * match.probability:.0f} %"
    whole.set_title(f"{match.rank}  {match.kind}, {worth}", fontsize=10, loc="left")
    more = f", +{len(match.sightings) - 1}" if len(match.sightings) > 1 else ""
    close.set_title(f"frame {match.frame}{more}", fontsize=8, loc="left")


def _show_ground(axis: Any, ground: SemanticMap) -> list[Any]:
    """Draw the classes of a map, and return what a legend says of each that it has."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    if (ground.labels == UNKNOWN).all():
        return []
    step = max(1, max(ground.labels.shape) // 1000)
    labels = np.minimum(ground.labels[::step, ::step], len(GROUND))
    width, height = ground.extent
    axis.imshow(
        labels,
        cmap=ListedColormap(_COLORS),
        vmin=0,
        vmax=len(GROUND),
        extent=(0, width, 0, height),
        alpha=_ALPHA,
        interpolation="nearest",
    )
    names = (*GROUND, "unknown ground")
    return [
        Patch(facecolor=_COLORS[number], alpha=_ALPHA, edgecolor="#5b6470", lw=0.4, label=names[number])
        for number in np.unique(labels).tolist()
    ]


def _show_map(axis: Any, searched: Searched) -> None:
    from matplotlib.patches import Ellipse

    positions = searched.positions
    classes = _show_ground(axis, searched.ground)
    for number, rows in enumerate(searched.flight.sequences()):
        axis.plot(
            [positions[row].x for row in rows],
            [positions[row].y for row in rows],
            "-o",
            color="#1d3557",
            lw=0.8,
            ms=2.5,
            label="" if number else "aircraft",
        )
    placed = [m for m in searched.result.matches if m.x is not None and m.y is not None]
    others = placed[1:]
    axis.scatter(
        [m.x for m in others],
        [m.y for m in others],
        s=14,
        c="#f4a261",
        ec="black",
        lw=0.4,
        label="other objects",
    )
    if placed:
        first = placed[0]
        axis.scatter(
            [first.x],
            [first.y],
            s=90,
            marker="*",
            c="#d7263d",
            ec="black",
            lw=0.5,
            zorder=5,
            label="first object",
        )
        if first.covariance is not None and first.x is not None and first.y is not None:
            long, short, bearing = ellipse(first.covariance)
            axis.add_patch(
                Ellipse(
                    (first.x, first.y),
                    2 * long,
                    2 * short,
                    angle=90 - bearing,
                    fill=False,
                    ec="#d7263d",
                    lw=1.2,
                )
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
    marks = axis.get_legend_handles_labels()[0]
    axis.legend(
        handles=[*marks, *classes],
        fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=max(3, len(marks)),
        frameon=False,
    )
    if placed:
        axis.set_title(f"{placed[0].lat:.6f}, {placed[0].lon:.6f}", fontsize=10, loc="left")
