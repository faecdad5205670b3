"""What every result can do, and that plots show what the results hold."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pandas as pd
import PIL.Image
import pytest

from crossband.errors import CrossbandError
from crossband.papers._registry import Reproduction
from crossband.profile import Profile
from crossband.reports.result_plots import plot_distances, plot_grid
from crossband.results import Result, Rows
from crossband.uav.detect import Detection
from crossband.uav.stages import Position


@dataclass(frozen=True, repr=False)
class Plain(Result):
    name: str
    value: float


def a_profile(form: str) -> Profile:
    latency = {"p50": 12.0, "p95": 15.0} if form == "deployed" else None
    return Profile(
        "mfnet", [1, 4, 480, 640], 0.7, 4.1, 8.2, 8.4, latency, 80.0, 900.0, form, "cpu", "float32", 1
    )


POSITIONS = [
    Position(f"{i}", 59 + i / 1000, 18.0, 10.0 * i, 111.0 * i, 0.5, 59 + i / 1000, 18.001) for i in range(3)
]
DETECTIONS = [Detection(f"{i}", "car" if i % 2 else "person", i / 10, 0, 0, 4, 4) for i in range(9)]
ROWS = [
    {"model": "a", "figure": "R@1", "published": 50.0, "ours": 51.0},
    {"model": "b", "figure": "R@1", "published": 70.0, "ours": None},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("result", "stem"),
    [
        (Rows([a_profile("training"), a_profile("deployed")]), "profile"),
        (a_profile("deployed"), "profile"),
        (Rows(POSITIONS), "position"),
        (Rows(DETECTIONS), "detection"),
        (Reproduction(ROWS, {"c": "no data"}, "a-paper"), "reproduction"),
    ],
    ids=["profiles", "profile", "positions", "detections", "reproduction"],
)
def test_a_report_is_a_table_as_json_csv_and_picture(result, stem, tmp_path):
    folder = result.report(tmp_path / "new")
    assert json.loads((folder / f"{stem}.json").read_text())
    assert len(pd.read_csv(folder / f"{stem}.csv")) == len(result.to_pandas())
    with PIL.Image.open(folder / f"{stem}.png") as picture:
        assert min(picture.size) > 100


def test_what_cannot_be_drawn_is_reported_without_a_picture_and_says_so(tmp_path):
    many = Rows([Plain("a", 1.0), Plain("b", 2.0)])
    assert sorted(path.name for path in many.report(tmp_path / "many").iterdir()) == ["plain.csv", "plain.json"]
    assert [path.name for path in Rows[Plain]().report(tmp_path / "none").glob("*.png")] == []
    for rows in (many, Rows[Plain]()):
        with pytest.raises(CrossbandError, match="nothing to draw"):
            rows.plot()


def test_a_profile_that_was_not_timed_has_no_axes_of_latency():
    labels = [ax.get_xlabel() for ax in a_profile("training").plot().axes]
    assert labels == ["parameters, M", "MACs, G"]


def test_positions_are_drawn_with_the_rough_ones_where_they_are_on_the_map():
    [axes, _] = Rows(POSITIONS).plot().axes
    rough = next(line for line in axes.lines if line.get_label() == "rough")
    assert rough.get_ydata() == pytest.approx([0.0, 111.0, 222.0])
    assert rough.get_xdata()[0] == pytest.approx(57.3, abs=0.1)  # a thousandth of a degree at 59 north


def test_published_figures_are_drawn_against_ours_where_there_are_some():
    [axes] = Reproduction(ROWS, {}).plot().axes
    dots = axes.lines[-1]
    assert (list(dots.get_xdata()), list(dots.get_ydata())) == ([50.0], [51.0])
    assert Reproduction(ROWS[1:], {}).plot().axes == []


def test_the_grid_says_every_value_and_leaves_missing_ones_empty():
    table = pd.DataFrame({"q": ["a", "a", "b"], "g": ["a", "b", "b"], "mAP": [10.0, 20.0, None]})
    texts = {text.get_text() for text in plot_grid(table, "q", "g", "mAP", "mAP, %").axes[0].texts}
    assert texts == {"10.0", "20.0"}


def test_distances_have_their_threshold():
    table = pd.DataFrame({"rank": [1, 2], "distance": [0.1, 0.4], "kind": ["car", "car"]})
    lines = {line.get_label(): list(line.get_ydata()) for line in plot_distances(table, 0.3).axes[0].lines}
    assert lines == {"car": [0.1, 0.4], "threshold": [0.3, 0.3]}
