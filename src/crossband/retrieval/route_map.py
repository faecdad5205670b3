"""Maps of routes: where frames were taken, by sequence, and which frames were matched, right or wrong.

As figures 2 and 3 of Alijani and Rahtu, "Supervised Fine-tuning Evaluation for Long-term Visual Place
Recognition", 2021, show the routes; the matches are drawn over them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ..errors import CrossbandError
from ..frames import Frames
from ..geo import METERS_PER_DEGREE
from ..reports.plots import Drawing
from .figures import LIGHT, Ink, many_colors

__all__ = ["plot_route_map", "positions_of"]

_MOST_SEQUENCES = 12
_LEAST_SIDE = 0.5  # of a map's height to its width, and the other way round


def positions_of(*parts: Frames) -> list[np.ndarray]:
    """Return where the frames of each part were taken, meters east and north, float64 ``(n, 2)``.

    ``x`` and ``y`` where all have them, else ``lat`` and ``lon`` on a plane at their middle. Not a number where
    nobody knows.

    Raises:
        CrossbandError: frames without either.

    Example:
        >>> rows = [{"frame": str(i), "rgb": "a.png", "lat": 46.0 + i / 1e5, "lon": 6.0} for i in range(2)]
        >>> np.ptp(positions_of(Frames.make(rows, "."))[0], axis=0).round(2).tolist()
        [0.0, 1.11]
    """
    if all(part.has("x") and part.has("y") for part in parts):
        return [part.table[["x", "y"]].to_numpy(float) for part in parts]
    if not all(part.has("lat") and part.has("lon") for part in parts):
        raise CrossbandError("a map needs the columns x and y, or lat and lon, which these frames lack")
    found = [part.table[["lon", "lat"]].to_numpy(float) for part in parts]
    middle = np.nanmean(np.concatenate(found), axis=0)
    scale = METERS_PER_DEGREE * np.array([np.cos(np.radians(middle[1])), 1.0])
    return [(part - middle) * scale for part in found]


def plot_route_map(
    queries: Frames,
    gallery: Frames | None = None,
    matches: Sequence[int] | np.ndarray | None = None,
    threshold: float = 25.0,
    *,
    ink: Ink = LIGHT,
) -> Figure:
    """Draw where frames were taken, colored by sequence, and each query's match as a line.

    A match within the threshold is a line with a halo of the color of what is right; a wrong one is of the
    other color and ends where the match was taken.

    Args:
        queries: frames with ``x`` and ``y`` (meters) or ``lat`` and ``lon``, and ``sequence`` perhaps.
        gallery: what was searched; without it the queries alone are drawn.
        matches: int ``(n,)``, the gallery row found first for each query; -1 where there is none.
        threshold: meters within which a match is right.
        ink: the colors of the page.

    Raises:
        CrossbandError: frames without positions, or matches that do not fit.

    Example:
        >>> rows = [{"frame": str(i), "rgb": "a.png", "x": 9.0 * i, "y": 0.0} for i in range(3)]
        >>> frames = Frames.make(rows, ".")
        >>> figure = plot_route_map(frames, frames, [0, 1, 0], threshold=5)
        >>> figure.axes[0].get_title()
        '2 of 3 matches within 5 m'
    """
    parts = [queries] if gallery is None else [queries, gallery]
    places = positions_of(*parts)
    known = np.concatenate([place[np.isfinite(place).all(1)] for place in places])
    if not len(known):
        raise CrossbandError("no frame of the map has a position")
    low = known.min(0)
    places = [place - low for place in places]
    figure, ax = _sheet(np.ptp(known, axis=0), ink)
    _draw_routes(ax, parts, places, ink)
    if matches is not None:
        if gallery is None:
            raise CrossbandError("matches are rows of a gallery; give the gallery too")
        _draw_matches(ax, places, np.asarray(matches, np.intp), threshold, ink)
    legend = figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9, markerscale=1.2)
    for text in legend.get_texts():
        text.set_color(ink.text)
    return figure


def _sheet(extent: np.ndarray, ink: Ink) -> tuple[Figure, Axes]:
    width, height = np.maximum(extent, extent.max() * _LEAST_SIDE) + 1e-9
    side = 4.6 / max(width, height)
    figure = Drawing(figsize=(width * side + 1.4, height * side + 1.5), layout="constrained", dpi=130)
    ax = figure.subplots()
    ax.set_facecolor("none")
    ax.set_aspect("equal", adjustable="datalim")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(ink.line)
    ax.tick_params(colors=ink.soft, labelsize=9)
    ax.set_xlabel("meters east", color=ink.text)
    ax.set_ylabel("meters north", color=ink.text)
    return figure, ax


def _draw_routes(ax: Axes, parts: list[Frames], places: list[np.ndarray], ink: Ink) -> None:
    told = [_sequences(part) for part in parts]
    names = list(dict.fromkeys(name for part in told for name in part))
    colors = dict(zip(names, many_colors(len(names)), strict=True))
    few = len(names) <= _MOST_SEQUENCES
    for role, part, place in zip(("query", "gallery"), told, places, strict=False):
        sequences = np.array(part, object)
        for name in dict.fromkeys(part):
            label = role if len(names) == 1 else f"{name} ({role})" if len(parts) > 1 else name
            where = place[sequences == name]
            mark = "o" if role == "query" else "s"
            ax.plot(
                *where.T,
                mark,
                color=colors[name] if role == "query" or len(names) > 1 else ink.soft,
                markersize=3.2 if role == "query" else 2.4,
                markeredgewidth=0,
                alpha=0.9,
                zorder=3 if role == "query" else 2,
                label=label if few else None,
            )
    if not few:
        ax.plot([], [], "o", color=ink.soft, label=f"{len(names)} sequences")


def _sequences(frames: Frames) -> list[str]:
    if not frames.has("sequence"):
        return [""] * len(frames)
    return frames.table["sequence"].fillna("").tolist()


def _draw_matches(ax: Axes, places: list[np.ndarray], matches: np.ndarray, threshold: float, ink: Ink) -> None:
    mine, theirs = places
    if len(matches) != len(mine) or (len(matches) and not -1 <= matches.min() <= matches.max() < len(theirs)):
        raise CrossbandError(f"{len(matches)} matches do not fit {len(mine)} queries and {len(theirs)} items")
    ends = np.where((matches >= 0)[:, None], theirs[matches.clip(min=0)], np.nan)
    errors = np.linalg.norm(mine - ends, axis=1)
    right = errors <= threshold
    wrong = ~right & np.isfinite(errors)
    for mask, color, width in ((wrong, ink.wrong, 0.6), (right, ink.right, 2.2)):
        lines = np.stack([mine[mask], ends[mask]], 1)
        ax.add_collection(LineCollection(list(lines), colors=color, linewidths=width, alpha=0.5, zorder=1))
    # a right match is a line too short to be seen: it has a halo
    [halo] = ax.plot(*mine[right].T, "o", color=ink.right, label=f"right match ({int(right.sum())})")
    halo.set(markersize=9, markeredgewidth=0, alpha=0.4, zorder=0)
    ax.plot([], [], "-", color=ink.wrong, linewidth=1.4, label=f"wrong match ({int(wrong.sum())})")
    ax.set_title(
        f"{int(right.sum())} of {len(mine)} matches within {threshold:g} m", color=ink.text, fontsize=11
    )
