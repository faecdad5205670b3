"""The robustness plot shows what the table holds."""

from __future__ import annotations

import pandas as pd
import pytest

from crossband.reports.plots import plot_robustness


@pytest.fixture
def points() -> pd.DataFrame:
    rows = []
    for model in ("hog", "crossband"):
        for query, gallery in (("rgb", "tir"), ("tir", "rgb")):
            for kind, amounts in {"shift": (0.1, 0.0), "rotate": (0.0, 5.0, 10.0)}.items():
                for amount in amounts:
                    rows.append((model, query, gallery, kind, amount, 90 - 100 * amount / 10, 95.0))
    return pd.DataFrame(rows, columns=["model", "query", "gallery", "kind", "amount", "R@1", "R@5"])


def test_a_row_of_axes_a_direction_and_a_column_a_kind(points):
    figure = plot_robustness(points)
    assert len(figure.axes) == 4
    assert [ax.get_xlabel() for ax in figure.axes[:2]] == ["shift, % of the side", "rotation, degrees"]
    assert all(len(ax.lines) == 2 for ax in figure.axes)


def test_lines_run_in_the_order_of_the_amount_and_shifts_are_percent(points):
    line = plot_robustness(points).axes[0].lines[0]
    assert list(line.get_xdata()) == [0, 10]
    assert list(line.get_ydata()) == [90, 89]


def test_every_model_is_named_once(points):
    (legend,) = plot_robustness(points).legends
    assert [text.get_text() for text in legend.get_texts()] == ["hog", "crossband"]
