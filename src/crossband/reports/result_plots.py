"""Plots of what functions find: scores, published figures, costs, objects, positions."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..geo import METERS_PER_DEGREE
from .plots import INK, PALETTE, Drawing, plain_axes

__all__ = [
    "plot_detections",
    "plot_distances",
    "plot_grid",
    "plot_positions",
    "plot_profiles",
    "plot_published",
    "plot_scores",
]


def plot_scores(table: pd.DataFrame, unit: str = "%") -> Figure:
    """Draw scores as dots on a common axis, a color for each test part.

    Args:
        table: ``test``, ``score`` and ``value``; a row of the figure for each score, in the order of the table.
        unit: of the values; axes in percent run from 0 to 100.
    """
    scores, tests = list(dict.fromkeys(table["score"])), list(dict.fromkeys(table["test"]))
    figure = Drawing(figsize=(6.4, 0.3 * len(scores) + 1.3), layout="constrained", dpi=130)
    ax = figure.subplots()
    rows = {score: row for row, score in enumerate(reversed(scores))}
    for number, test in enumerate(tests):
        mine = table[table["test"] == test]
        apart = 0.18 * (number - (len(tests) - 1) / 2) / max(len(tests) - 1, 1) * 2
        y = [rows[score] - apart for score in mine["score"]]
        ax.plot(mine["value"], y, "o", ms=6, color=PALETTE[number % len(PALETTE)], label=test)
    ax.set_yticks(list(rows.values()), list(rows))
    ax.set(xlabel=unit, ylim=(-0.6, len(scores) - 0.4))
    if unit == "%":
        ax.set_xlim(-2, 102)
    else:
        ax.set_xlim(left=0)
    plain_axes(ax)
    if len(tests) > 1 or tests != ["all"]:
        figure.legend(loc="outside lower center", ncols=min(len(tests), 4), frameon=False)
    return figure


_PANELS = 6


def plot_published(table: pd.DataFrame) -> Figure:
    """Draw measured figures over published ones, with the line where they are equal.

    Args:
        table: ``published`` and ``ours``, and ``figure``, which has axes of its own; rows without ``ours`` are
            left out, and so are the figures with the fewest rows where there are more than six.
    """
    there = table[table["ours"].notna()] if "ours" in table else table[:0]
    kinds = there["figure"] if "figure" in there else pd.Series("FCM, %", index=there.index)
    chosen = list(kinds.value_counts(sort=True).index[:_PANELS])
    if not chosen:
        figure = Drawing(figsize=(4, 1.2), layout="constrained", dpi=130)
        figure.text(0.5, 0.5, "nothing was measured", ha="center", va="center", color=INK)
        return figure
    columns = min(len(chosen), 3)
    rows = -(-len(chosen) // columns)
    figure = Drawing(figsize=(3.1 * columns, 3.1 * rows), layout="constrained", dpi=130)
    for ax, kind in zip(figure.subplots(rows, columns, squeeze=False).flat, chosen, strict=False):
        mine = there[kinds == kind]
        published, ours = mine["published"].astype(float), mine["ours"].astype(float)
        low, high = min(published.min(), ours.min()), max(published.max(), ours.max())
        edge = 0.06 * (high - low) or 1.0
        ends = (low - edge, high + edge)
        ax.plot(ends, ends, "-", lw=1, color=PALETTE[-1], alpha=0.5)
        ax.plot(published, ours, "o", ms=5, alpha=0.7, color=PALETTE[0])
        ax.set(xlim=ends, ylim=ends, xlabel="published", ylabel="ours", aspect="equal")
        ax.set_title(str(kind), loc="left", fontsize=10, color=INK)
        plain_axes(ax, "both")
    for ax in figure.axes[len(chosen) :]:
        ax.set_axis_off()
    return figure


_COSTS = {"params_m": "parameters, M", "macs_g": "MACs, G", "p50_ms": "latency, ms"}


def plot_profiles(table: pd.DataFrame) -> Figure:
    """Draw what networks cost, a bar for each network and form: parameters, operations, latency.

    Args:
        table: as :class:`crossband.profile.Profile` gives it; what was not measured has no axes.
    """
    shown = [column for column in _COSTS if table[column].notna().any()]
    names = [f"{row.model}, {row.form}" for row in table.itertuples()]
    figure = Drawing(figsize=(2.6 * len(shown) + 1.8, 0.42 * len(table) + 1.0), layout="constrained", dpi=130)
    colors = ["#bbbbbb" if form == "training" else PALETTE[0] for form in table["form"]]
    for ax, column in zip(figure.subplots(1, len(shown), squeeze=False, sharey=True)[0], shown, strict=True):
        values = table[column].astype(float)
        bars = ax.barh(range(len(table)), values, color=colors, height=0.62)
        ax.bar_label(
            bars,
            [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values],
            padding=3,
            fontsize=8,
            color=INK,
        )
        ax.set(xlabel=_COSTS[column], ylim=(len(table) - 0.5, -0.5))
        ax.margins(x=0.22)
        ax.set_yticks(range(len(table)), names)
        plain_axes(ax)
    return figure


def plot_detections(table: pd.DataFrame) -> Figure:
    """Draw the scores of objects, a row for each class with the number of its objects.

    Args:
        table: ``kind`` and ``score``.
    """
    counts = table["kind"].value_counts()
    figure = Drawing(figsize=(6.4, 0.45 * max(len(counts), 1) + 0.9), layout="constrained", dpi=130)
    ax = figure.subplots()
    for row, (kind, count) in enumerate(counts.items()):
        scores = table["score"][table["kind"] == kind].astype(float)
        beside = [row + 0.5 * ((number * 0.618) % 1 - 0.5) for number in range(count)]  # spread evenly
        ax.plot(scores, beside, "o", ms=4, alpha=0.55, mew=0, color=PALETTE[row % len(PALETTE)])
    ax.set_yticks(range(len(counts)), [f"{kind}, {count}" for kind, count in counts.items()])
    ax.set(xlabel="score", xlim=(0, 1.02), ylim=(max(len(counts), 1) - 0.5, -0.5))
    plain_axes(ax)
    return figure


def plot_positions(table: pd.DataFrame) -> Figure:
    """Draw positions on the map, darker where surer, with a line to the rough position of each.

    Args:
        table: as :class:`crossband.uav.stages.Position` gives it.
    """
    figure = Drawing(figsize=(5.6, 4.8), layout="constrained", dpi=130)
    ax = figure.subplots()
    along = METERS_PER_DEGREE * math.cos(math.radians(float(table["lat"].mean())))
    rough_x = table["x"] + (table["rough_lon"] - table["lon"]) * along
    rough_y = table["y"] + (table["rough_lat"] - table["lat"]) * METERS_PER_DEGREE
    ax.plot([rough_x, table["x"]], [rough_y, table["y"]], "-", lw=0.8, color="#bbbbbb", zorder=1)
    ax.plot(rough_x, rough_y, "x", ms=5, color="#777777", label="rough", zorder=2)
    found = ax.scatter(
        table["x"], table["y"], 28, table["confidence"], cmap="viridis_r", label="found", zorder=3
    )
    found.set_clim(0, 1)
    figure.colorbar(found, label="confidence", shrink=0.7)
    ax.set(xlabel="meters east", ylabel="meters north")
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend(frameon=False, loc="best")
    plain_axes(ax, "both")
    return figure


def plot_distances(table: pd.DataFrame, threshold: float | None = None) -> Figure:
    """Draw the distance of each match by its rank, and a line at the threshold if there is one.

    Args:
        table: ``rank``, ``distance`` and ``kind``.
        threshold: below it a match may be what is looked for.
    """
    figure = Drawing(figsize=(5.6, 3.2), layout="constrained", dpi=130)
    ax = figure.subplots()
    for number, (kind, mine) in enumerate(table.groupby("kind", sort=True)):
        ax.plot(
            mine["rank"], mine["distance"], "o", ms=5, color=PALETTE[number % len(PALETTE)], label=str(kind)
        )
    if threshold is not None:
        ax.axhline(threshold, color=INK, lw=1.2, ls=":", label="threshold")
    ax.set(xlabel="rank", ylabel="distance", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, loc="lower right")
    plain_axes(ax, "y")
    return figure


def plot_grid(table: pd.DataFrame, rows: str, columns: str, value: str, label: str) -> Figure:
    """Draw one value for every pair of two columns as a colored grid with its figures.

    Args:
        table: a row for each pair; where the value is missing the cell is empty.
        rows: the column whose values are the rows of the grid; ``columns`` likewise.
        value: the column that is drawn, and ``label`` what it is called.
    """
    down, across = (list(dict.fromkeys(table[name])) for name in (rows, columns))
    grid = table.astype({value: float}).pivot_table(value, rows, columns, "first", dropna=False)
    cells = grid.reindex(index=down, columns=across).to_numpy(float)
    size = (0.85 * len(across) + 2.2, 0.5 * len(down) + 1.6)
    figure = Drawing(figsize=size, layout="constrained", dpi=130)
    ax = figure.subplots()
    image = ax.imshow(cells, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row, column in ((r, c) for r in range(len(down)) for c in range(len(across))):
        cell = cells[row, column]
        if not math.isnan(cell):
            ink = "white" if cell > 60 else INK
            ax.text(column, row, f"{cell:.1f}", ha="center", va="center", color=ink, fontsize=8)
    ax.set_xticks(range(len(across)), across, rotation=35, ha="right")
    ax.set_yticks(range(len(down)), down)
    ax.set(xlabel=columns, ylabel=rows)
    figure.colorbar(image, label=label, shrink=0.8)
    return figure
