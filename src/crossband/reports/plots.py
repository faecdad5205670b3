"""Plots, drawn without a screen."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

__all__ = ["INK", "PALETTE", "plot_robustness"]

# Okabe and Ito's colours, told apart by the colour-blind
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
INK = "#222222"
_AXES = {
    "shift": ("shift, % of the side", 100.0),
    "scale": ("scale", 1.0),
    "rotate": ("rotation, degrees", 1.0),
}


def plot_robustness(points: pd.DataFrame) -> Figure:
    """R@1 over the amount of each kind of misalignment, one line a model, one row of axes a direction.

    Args:
        points: as :class:`crossband.retrieval.RobustnessCurve` holds them.
    """
    ways = list(dict.fromkeys(zip(points["query"], points["gallery"], strict=True)))
    kinds = [kind for kind in _AXES if kind in set(points["kind"])]
    figure = Figure(figsize=(3.6 * len(kinds) + 1.6, 2.7 * len(ways)), layout="constrained", dpi=130)
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
                colour = PALETTE[number % len(PALETTE)]
                ax.plot(line["amount"] * factor, line["R@1"], "o-", ms=3.5, lw=1.6, color=colour, label=model)
            ax.set(xlabel=label, ylim=(-3, 103))
            ax.grid(alpha=0.25)
            ax.spines[["top", "right"]].set_visible(False)
            if not column:
                ax.set_ylabel(f"R@1, %   {query} → {gallery}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(models), 3), frameon=False)
    return figure
