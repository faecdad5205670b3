"""The pictures behind a benchmark: distance plots, projections, centroids, and heat maps over images."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ..bands import Band
from ..errors import ImageFault
from ..io import read_image
from ..reports.plots import PALETTE
from ..reports.strips import thumbnail

if TYPE_CHECKING:
    from pathlib import Path

    from ..metrics import CentroidCondition
    from .explain import DistanceCurve, Plane

__all__ = [
    "DARK",
    "LIGHT",
    "Ink",
    "data_address",
    "heat_picture",
    "many_colors",
    "plot_centroids",
    "plot_distances",
    "plot_plane",
    "plot_reliability",
    "themed",
]

_WIDEST_DOT = 130  # points squared

_METHODS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
_SIZE = (4.7, 3.1)  # inches; at 390 pixels of a phone the letters are as large as the page's
_WIDE = 420  # pixels of a picture with its heat
_MOST_PLACES = 20
_CELL = 16  # pixels of a similarity map that are shown as one


@dataclass(frozen=True)
class Ink:
    """The colors of a figure on a light or on a dark page."""

    text: str
    soft: str
    line: str
    right: str
    wrong: str


LIGHT = Ink("#1b1f24", "#5b6470", "#dfe3e8", "#14803c", "#c22f1f")
DARK = Ink("#e8eaed", "#a2abb6", "#343a42", "#58c27d", "#f0776a")


def themed(draw: Callable[[Ink], Figure]) -> tuple[str, str]:
    """Render a figure for a light and for a dark page, as data URIs of transparent PNG files."""
    addresses = []
    for ink in (LIGHT, DARK):
        file = BytesIO()
        draw(ink).savefig(file, format="png", dpi=160, transparent=True)
        picture = PIL.Image.open(file).convert("RGBA").quantize(128, PIL.Image.Quantize.FASTOCTREE)
        addresses.append(data_address(picture, "PNG"))
    return addresses[0], addresses[1]


def data_address(picture: PIL.Image.Image, kind: str = "JPEG") -> str:
    """Encode a picture as a data URI, for a page that needs no network."""
    file = BytesIO()
    picture.save(file, kind, **({"quality": 84} if kind == "JPEG" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64," + base64.b64encode(file.getvalue()).decode()


def plot_distances(curve: DistanceCurve, ink: Ink = LIGHT) -> Figure:
    """Draw figure 4 of the paper: the distance of one query to each gallery image, in the gallery's order."""
    figure, ax = _axes(ink)
    values, right, found = curve.distances, curve.right, curve.found
    ax.plot(values, lw=1, color=ink.soft, zorder=1)
    if right:
        best = min(right, key=lambda row: values[row])
        ax.plot(
            best,
            values[best],
            "o",
            ms=9,
            mfc="none",
            mec=ink.right,
            mew=2,
            label=f"its match, rank {curve.rank}",
        )
        ax.axvline(best, color=ink.right, lw=0.8, ls=":", zorder=0)
    hit = found in right
    label = "nearest: its match" if hit else "nearest: another"
    ax.plot(found, values[found], "v", ms=7, color=ink.right if hit else ink.wrong, label=label)
    ax.set(xlabel="gallery image", ylabel="distance", xlim=(-0.02 * len(values), 1.02 * len(values)))
    _legend(ax, ink)
    return figure


def plot_plane(plane: Plane, bands: tuple[str, str], ink: Ink = LIGHT) -> Figure:
    """Draw descriptors of both bands in the plane: figure 3 of the paper.

    One color per place, a full shade for queries and a pale one for the gallery.

    Without places (or with more than twenty), one color per band, and a line from each frame to itself.
    """
    figure, ax = _axes(ink)
    points, is_query = plane.points, plane.is_query
    places = sorted({place for place in plane.places if place})
    if 2 <= len(places) <= _MOST_PLACES:
        colors = many_colors(len(places))
        mine = np.array([colors[places.index(place)] if place else to_rgb(ink.soft) for place in plane.places])
    else:
        mine = np.where(is_query[:, None], to_rgb(PALETTE[0]), to_rgb(PALETTE[1]))
        other = {name: row for row, name in enumerate(plane.frames) if not is_query[row]}
        for row in np.flatnonzero(is_query):
            if (partner := other.get(plane.frames[row])) is not None:
                ax.plot(
                    points[[int(row), partner], 0],
                    points[[int(row), partner], 1],
                    lw=0.5,
                    color=ink.soft,
                    alpha=0.45,
                    zorder=0,
                )
    for side, marker, alpha, name in ((True, "o", 0.95, bands[0]), (False, "s", 0.45, bands[1])):
        chosen = is_query == side
        ax.scatter(
            points[chosen, 0],
            points[chosen, 1],
            s=17,
            marker=marker,
            c=mine[chosen],
            alpha=alpha,
            lw=0,
            label=name,
        )
    ax.set(xticks=[], yticks=[], title=_METHODS[plane.method])
    _legend(ax, ink)
    return figure


def plot_centroids(found: CentroidCondition, bands: tuple[str, str], ink: Ink = LIGHT) -> Figure:
    """Draw each place's query centroid against every gallery centroid: table 3 of the paper.

    Each place's query centroid against every gallery centroid; a ring marks the nearest, green where it is the
    place's own.
    """
    figure, ax = _axes(ink, (4.7, 4.3))
    image = ax.imshow(found.distances, cmap="viridis_r")
    nearest = found.distances.argmin(1)
    for row, column in enumerate(nearest):
        own = found.distances[row] == found.distances[row, row]
        good = row == column and own.sum() == 1
        ax.plot(
            column,
            row,
            "o",
            ms=max(4, 90 / len(nearest)) ** 0.9,
            mfc="none",
            mew=2,
            mec=LIGHT.right if good else LIGHT.wrong,
            zorder=3,
        )
    if len(found.places) <= _MOST_PLACES:
        ticks = range(len(found.places))
        ax.set_xticks(ticks, [place[:12] for place in found.places], rotation=90)
        ax.set_yticks(ticks, [place[:12] for place in found.places])
    ax.set(xlabel=f"{bands[1]} centroid", ylabel=f"{bands[0]} centroid")
    bar = figure.colorbar(image, shrink=0.8)
    bar.ax.tick_params(colors=ink.soft, labelsize=9)
    bar.outline.set_edgecolor(ink.line)
    return figure


def heat_picture(path: Path | str, band: Band, values: np.ndarray | None, most: float = 0.0) -> PIL.Image.Image:
    """Draw a similarity map over a paled image: the warmer, the more it counts.

    Without values, the image alone; a gray picture where it cannot be read.
    """
    try:
        picture = thumbnail(read_image(path, band), band, (_WIDE, _WIDE))
    except ImageFault:
        return PIL.Image.new("RGB", (_WIDE, _WIDE * 3 // 4), "#888888")
    if values is None:
        return picture
    share = np.clip(values / (most or float(values.max()) or 1.0), 0, 1)
    cells = max(1, values.shape[1] // _CELL), max(1, values.shape[0] // _CELL)  # what windows blur anyway
    small = PIL.Image.fromarray((share * 255).astype(np.uint8)).resize(cells, PIL.Image.Resampling.BOX)
    small = small.resize(picture.size, PIL.Image.Resampling.BICUBIC)
    level = np.asarray(small, np.float64)[..., None] / 255
    gray = np.asarray(picture.convert("L"), np.float64)[..., None] / 255
    color = colormaps["inferno"](level[..., 0])[..., :3]
    alpha = 0.15 + 0.7 * level
    mixed = (1 - alpha) * (0.25 + 0.6 * gray) + alpha * color
    return PIL.Image.fromarray((mixed.clip(0, 1) * 255).round().astype(np.uint8))


def _axes(ink: Ink, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    ax = figure.subplots()
    ax.set_facecolor("none")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(ink.line)
    ax.tick_params(colors=ink.soft, labelsize=9)
    for label in (ax.xaxis.label, ax.yaxis.label, ax.title):
        label.set_color(ink.text)
        label.set_fontsize(11)
    return figure, ax


def _legend(ax: Axes, ink: Ink) -> None:
    legend = ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    if ax.get_xlabel() == "":
        legend.set_bbox_to_anchor((0.5, 0.0))
    for text in legend.get_texts():
        text.set_color(ink.text)


def many_colors(n: int) -> np.ndarray:
    """Return colors that are told apart, ``(n, 3)``: the palette, then evenly round the hues."""
    if n <= len(PALETTE):
        return np.array([to_rgb(color) for color in PALETTE[:n]])
    return colormaps["turbo"](np.linspace(0.04, 0.96, n))[:, :3]


def plot_reliability(bins: Sequence[tuple[float, float, int]], ink: Ink) -> Figure:
    """Draw what was so over what was said to be probable; a dot's size is how many pairs it stands for.

    Args:
        bins: mean probability, share that was so, how many (:mod:`crossband.metrics.reliability`).
        ink: the page's colors.
    """
    figure = Figure(figsize=(3.4, 3.1), layout="constrained")
    ax = figure.add_subplot()
    table = np.array(bins, float).reshape(-1, 3)
    ax.plot([0, 1], [0, 1], color=ink.soft, lw=1, ls=":")
    ax.plot(table[:, 0], table[:, 1], color=PALETTE[0], lw=1.4)
    size = 12 + _WIDEST_DOT * table[:, 2] / max(table[:, 2].max(initial=1), 1)
    ax.scatter(table[:, 0], table[:, 1], s=size, color=PALETTE[0], zorder=3)
    ax.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
    ax.set_xlabel("probability of the same place", color=ink.text)
    ax.set_ylabel("share that is", color=ink.text)
    ax.tick_params(colors=ink.soft)
    for name, spine in ax.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(ink.line)
    return figure
