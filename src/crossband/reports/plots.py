"""Plots, drawn without a screen."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

__all__ = [
    "INK",
    "PALETTE",
    "Drawing",
    "picture_figure",
    "plain_axes",
    "plot_cmc",
    "plot_cost",
    "plot_counts",
    "plot_curve",
    "plot_recall",
    "plot_robustness",
    "plot_segmentation_robustness",
]

# Okabe and Ito's colors, told apart by the color-blind
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
INK = "#222222"
_AXES = {
    "shift": ("shift, % of the side", 100.0),
    "scale": ("scale", 1.0),
    "rotate": ("rotation, degrees", 1.0),
}


class Drawing(Figure):
    """A figure that a notebook shows, whether pyplot was imported there or not."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def plot_robustness(points: pd.DataFrame) -> Figure:
    """Draw R@1 over the amount of each misalignment, one line per model, one row per direction.

    Args:
        points: as :class:`crossband.retrieval.RobustnessCurve` holds them.
    """
    ways = list(dict.fromkeys(zip(points["query"], points["gallery"], strict=True)))
    kinds = [kind for kind in _AXES if kind in set(points["kind"])]
    figure = Drawing(figsize=(3.6 * len(kinds) + 1.6, 2.7 * len(ways)), layout="constrained", dpi=130)
    axes = figure.subplots(len(ways), len(kinds), squeeze=False, sharey=True)
    models = list(dict.fromkeys(points["model"]))
    for row, (query, gallery) in enumerate(ways):
        for column, kind in enumerate(kinds):
            ax = axes[row, column]
            label, factor = _AXES[kind]
            mine = points[
                (points["query"] == query) & (points["gallery"] == gallery) & (points["kind"] == kind)
            ]
            for number, model in enumerate(models):
                line = mine[mine["model"] == model].sort_values("amount")
                color = PALETTE[number % len(PALETTE)]
                ax.plot(line["amount"] * factor, line["R@1"], "o-", ms=3.5, lw=1.6, color=color, label=model)
            ax.set(xlabel=label, ylim=(-3, 103))
            plain_axes(ax, "both")
            if not column:
                ax.set_ylabel(f"R@1, %   {query} → {gallery}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(models), 3), frameon=False)
    return figure


def picture_figure(picture: PIL.Image.Image) -> Figure:
    """Return a picture as a figure of its own size, without axes."""
    figure = Drawing(figsize=(picture.width / 100, picture.height / 100), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(np.asarray(picture.convert("RGB")), interpolation="nearest")
    ax.set_axis_off()
    return figure


def plot_recall(table: pd.DataFrame) -> Figure:
    """Draw R@1 of each model with its 95 % interval, misaligned beside it; one row of axes a direction.

    Args:
        table: as :meth:`crossband.retrieval.Benchmark.to_pandas` gives it.
    """
    ways = list(dict.fromkeys(zip(table["query"], table["gallery"], strict=True)))
    height = sum(0.34 * len(table[(table["query"] == q) & (table["gallery"] == g)]) + 0.9 for q, g in ways)
    figure = Drawing(figsize=(7.2, height + 0.4), layout="constrained", dpi=130)
    axes = figure.subplots(len(ways), 1, squeeze=False, sharex=True)[:, 0]
    for ax, (query, gallery) in zip(axes, ways, strict=True):
        mine = table[(table["query"] == query) & (table["gallery"] == gallery)].iloc[::-1]
        y = np.arange(len(mine))
        recall = mine["R@1"].to_numpy(float)
        off = np.stack([recall - mine["R@1_low"], mine["R@1_high"] - recall]).astype(float).clip(0)
        ax.errorbar(
            recall, y, xerr=off, fmt="o", ms=6, lw=1.4, capsize=2.5, color=PALETTE[0], label="R@1, 95 %"
        )
        moved = pd.to_numeric(mine["R@1_misaligned"])
        if moved.notna().any():
            ax.plot(moved, y, "D", ms=5, mfc="none", mew=1.5, color=PALETTE[1], label="one band misaligned")
        ax.set_yticks(y, mine["model"])
        ax.set(xlim=(-2, 102), ylim=(-0.6, len(mine) - 0.4))
        ax.set_title(f"{query} → {gallery}", loc="left", fontsize=10, color=INK)
        plain_axes(ax)
    axes[-1].set_xlabel("R@1, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def plot_curve(table: pd.DataFrame, x: str, y: str, mark: float | None = None) -> Figure:
    """Draw one column of a table over another, as a score over epochs, with a line at ``mark``."""
    figure = Drawing(figsize=(5.2, 3.2), layout="constrained", dpi=130)
    ax = figure.subplots()
    ax.plot(table[x], table[y], "o-", ms=3.5, lw=1.6, color=PALETTE[0])
    if mark is not None:
        ax.axvline(mark, color=PALETTE[1], lw=1.2, ls=":")
    ax.set(xlabel=x, ylabel=y)
    plain_axes(ax, "both")
    return figure


def plain_axes(ax: Axes, grid: Literal["x", "y", "both"] = "x") -> None:
    """Draw a light grid, and no lines above and at the right."""
    ax.grid(alpha=0.25, axis=grid)
    ax.spines[["top", "right"]].set_visible(False)


def plot_cmc(
    curves: Mapping[str, Mapping[int, float]], published: Mapping[str, Mapping[int, float]] | None = None
) -> Figure:
    """Draw cumulative match characteristics: which share of queries finds its item by rank.

    Args:
        curves: name -> rank -> percent.
        published: a paper's, likewise; dashed, in the color of the curve of the same name where there is one.

    Example:
        >>> figure = plot_cmc({"ours": {1: 40.0, 5: 70.0}}, {"ours": {1: 42.0, 5: 69.0}})
        >>> [line.get_label() for line in figure.axes[0].lines]
        ['ours', 'ours, published']
    """
    figure = Drawing(figsize=(6.4, 4.2), layout="constrained", dpi=130)
    ax = figure.subplots()
    names = list(dict.fromkeys([*curves, *(published or {})]))
    for kind, style, drawn in (("", "o-", curves), (", published", "s--", published or {})):
        for name, curve in drawn.items():
            ranks = sorted(curve)
            ax.plot(
                ranks,
                [curve[rank] for rank in ranks],
                style,
                color=PALETTE[names.index(name) % len(PALETTE)],
                ms=3.5 if len(ranks) < 12 else 2.2,
                lw=1.6 if not kind else 1.1,
                mfc="none" if kind else None,
                label=f"{name}{kind}",
            )
    ax.set(xlabel="rank", ylabel="queries found, %", ylim=(0, 102))
    last = max((rank for curve in (*curves.values(), *(published or {}).values()) for rank in curve), default=1)
    ax.set_xticks([1, *range(5, last + 1, 5)])
    plain_axes(ax, "both")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def plot_counts(counts: Mapping[str, int], total: int, what: str) -> Figure:
    """Draw how many of ``total`` things are of each kind, as bars with their counts, in the order given.

    Args:
        counts: kind -> how many; a thing may be of several kinds.
        total: how many there are.
        what: they are called.

    Example:
        >>> plot_counts({"shadow": 3, "none": 7}, 10, "frames").axes[0].get_xlabel()
        'frames, of 10'
    """
    figure = Drawing(figsize=(6.4, 0.34 * len(counts) + 0.9), layout="constrained", dpi=130)
    ax = figure.subplots()
    names = list(counts)[::-1]
    bars = ax.barh(names, [counts[name] for name in names], color=PALETTE[0], height=0.7)
    shown = [f"{counts[name]:,}  ({100 * counts[name] / max(total, 1):.1f} %)" for name in names]
    ax.bar_label(bars, shown, padding=4, fontsize=9, color=INK)
    ax.set_xlabel(f"{what}, of {total:,}")
    ax.margins(x=0.25, y=0.02)
    ax.set_xticks([])
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure


_DISTURBED = {
    "rgb light": ("light left in RGB, %", 100.0),
    "tir contrast": ("thermal contrast left, %", 100.0),
    "shift": ("thermal image moved, pixels", 1.0),
    "fog": ("meteorological range in fog, m", 1.0),
}


def plot_segmentation_robustness(points: pd.DataFrame) -> Figure:
    """Draw mIoU over the amount of each disturbance, one line per model, rows for day and night.

    Args:
        points: as :class:`crossband.segmentation.SegmentationCurve` holds them.
    """
    conditions = [name for name in ("day", "night") if name in set(points["condition"])] or ["all"]
    kinds = [kind for kind in _DISTURBED if kind in set(points["kind"])]
    models = list(dict.fromkeys(points["model"]))
    figure = Drawing(
        figsize=(3.2 * len(kinds) + 0.8, 2.6 * len(conditions) + 0.6), layout="constrained", dpi=130
    )
    axes = figure.subplots(len(conditions), len(kinds), squeeze=False, sharey=True)
    for row, condition in enumerate(conditions):
        for column, kind in enumerate(kinds):
            ax = axes[row, column]
            label, factor = _DISTURBED[kind]
            mine = points[(points["condition"] == condition) & (points["kind"] == kind)]
            amounts = list(dict.fromkeys(mine["amount"]))
            for number, model in enumerate(models):
                line = mine[mine["model"] == model]
                color = PALETTE[number % len(PALETTE)]
                ax.plot(range(len(line)), line["miou"], "o-", ms=3.5, lw=1.6, color=color, label=model)
            shown = [f"{amount * factor:g}" for amount in amounts]
            if kind == "fog":
                shown[0] = "clear"
            ax.set_xticks(range(len(amounts)), shown)
            ax.set_ylim(bottom=0)
            plain_axes(ax, "both")
            if row == len(conditions) - 1:
                ax.set_xlabel(label)
            if not column:
                ax.set_ylabel(f"mIoU, %   {condition}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(models), 5), frameon=False)
    return figure


def plot_cost(points: pd.DataFrame, cost: str, score: str) -> Figure:
    """Plot a score against a cost, one circle a network, the larger the more frames it does per second.

    Args:
        points: with the columns ``name``, ``whose`` (a color each), ``gflops``, ``miou`` and ``fps`` (empty
            where it is not known: a cross).
        cost: the label of ``gflops``.
        score: the label of ``miou``.
    """
    figure = Drawing(figsize=(7.4, 4.6), layout="constrained", dpi=130)
    ax = figure.subplots()
    largest = float(points["fps"].astype(float).max())
    sizes = (30 + 900 * points["fps"].astype(float) / largest).fillna(40.0)
    for number, (whose, mine) in enumerate(points.groupby("whose", sort=True)):
        color = PALETTE[number % len(PALETTE)]
        for known, marker in ((mine["fps"].notna(), "o"), (mine["fps"].isna(), "x")):
            there = mine[known]
            ax.scatter(
                there["gflops"], there["miou"], sizes[there.index], color=color, alpha=0.5, marker=marker
            )
        ax.plot([], [], "o", color=color, alpha=0.5, label=whose)
    ax.set(xlabel=cost, ylabel=score)
    if float(points["gflops"].max()) > 8 * float(points["gflops"].min()) > 0:
        ax.set_xscale("log", subs=[2, 5])
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
    ax.margins(x=0.1, y=0.12)
    plain_axes(ax, "both")
    if points["whose"].nunique() > 1:
        ax.legend(frameon=False, loc="lower right")
    _name_circles(figure, ax, points, sizes)
    return figure


_FAR = (0.0, 10.0, 22.0, 36.0, 52.0)  # points from a circle to its name
_ANGLES = (0, 180, 35, 145, -35, -145, 90, -90)


def _name_circles(figure: Figure, ax: Axes, points: pd.DataFrame, sizes: pd.Series) -> None:
    """Write each name beside its circle, where it covers as little as possible; a line leads to a far one."""
    figure.draw_without_rendering()  # the axes have their place now
    unit = figure.dpi / 72
    at = ax.transData.transform(points[["gflops", "miou"]].astype(float).to_numpy()) / unit
    radius = np.sqrt(sizes.to_numpy(float)) / 2
    circles = np.column_stack([at - radius[:, None] * 0.8, at + radius[:, None] * 0.8])
    corners = np.array(ax.get_window_extent().extents) / unit
    taken: list[np.ndarray] = []
    for row in np.argsort(-at[:, 1], kind="stable"):
        width, height = 4.6 * len(str(points["name"].iloc[row])), 9.0
        best, chosen = np.inf, (0.0, 0.0, 0.0)
        for far, angle in itertools.product(_FAR, np.radians(_ANGLES)):
            away = radius[row] + 3 + far
            x, y = at[row] + away * np.array([np.cos(angle), np.sin(angle)])
            left = x if np.cos(angle) > 0.1 else x - width if np.cos(angle) < -0.1 else x - width / 2
            box = np.array([left, y - height / 2, left + width, y + height / 2])
            outside = (box[:2] < corners[:2]).any() or (box[2:] > corners[2:]).any()
            worth = 8 * _common(box, taken) + _common(box, np.delete(circles, row, 0)) + 3 * far + 1e5 * outside
            if worth < best:
                best, chosen, kept = worth, (left + width / 2 - at[row][0], y - at[row][1], far), box
        taken.append(kept)
        ax.annotate(
            points["name"].iloc[row],
            tuple(points[["gflops", "miou"]].iloc[row].astype(float)),
            chosen[:2],
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.5, "alpha": 0.6} if chosen[2] else None,
        )


def _common(box: np.ndarray, others: Sequence[np.ndarray] | np.ndarray) -> float:
    """The area that a box shares with others."""
    if not len(others):
        return 0.0
    boxes = np.asarray(others)
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    return float(sides.clip(min=0).prod(1).sum())
