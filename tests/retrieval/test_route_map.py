"""Maps of routes: positions by sequence, matches right and wrong, in the benchmark's report too."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.retrieval import Options, benchmark, plot_route_map
from crossband.retrieval.report import write_report
from crossband.retrieval.route_map import positions_of


def walk(sequence, n=5, off=0.0, **more):
    rows = [{"frame": f"{sequence}{i}", "rgb": "a.png", "x": 10.0 * i, "y": off} for i in range(n)]
    return Frames.make([{**row, "sequence": sequence, **more} for row in rows], ".")


def lines_of(figure):
    return [part.get_segments() for part in figure.axes[0].collections if isinstance(part, LineCollection)]


def test_each_match_is_a_line_to_where_it_was_taken_right_and_wrong_apart():
    figure = plot_route_map(walk("a"), walk("b", off=3.0), [0, 1, 4, -1, 4], threshold=5)
    wrong, right = lines_of(figure)
    assert [line.tolist() for line in wrong] == [[[20, 0], [40, 3]]]
    assert [line.tolist() for line in right] == [[[10 * i, 0], [10 * i, 3]] for i in (0, 1, 4)]
    assert figure.axes[0].get_title() == "3 of 5 matches within 5 m"


def test_sequences_are_named_in_the_legend_until_they_are_too_many():
    [legend] = plot_route_map(walk("a"), walk("b")).legends
    assert [text.get_text() for text in legend.get_texts()] == ["a (query)", "b (gallery)"]
    rows = [{"frame": str(i), "rgb": "a.png", "x": i, "y": 0, "sequence": f"s{i}"} for i in range(40)]
    [legend] = plot_route_map(Frames.make(rows, ".")).legends
    assert [text.get_text() for text in legend.get_texts()] == ["40 sequences"]


def test_degrees_become_meters_east_and_north():
    rows = [
        {"frame": str(i), "rgb": "a.png", "lat": 60 + north / 1e4, "lon": 10 + east / 1e4}
        for i, (east, north) in enumerate([(0, 0), (1, 0), (0, 1)])
    ]
    [found] = positions_of(Frames.make(rows, "."))
    assert found[1] - found[0] == pytest.approx([11.132 * np.cos(np.radians(60)), 0], rel=1e-3)
    assert found[2] - found[0] == pytest.approx([0, 11.132], rel=1e-3)


def test_frames_without_a_position_are_left_out_and_no_position_at_all_is_said():
    frames = walk("a").assign(x=[0, 1, None, 3, 4])
    assert plot_route_map(frames, frames, range(5)).axes[0].get_title() == "4 of 5 matches within 25 m"
    with pytest.raises(CrossbandError, match="x and y, or lat and lon"):
        plot_route_map(Frames.make([{"frame": "a", "rgb": "a.png"}], "."))
    with pytest.raises(CrossbandError, match="3 matches do not fit 5 queries"):
        plot_route_map(walk("a"), walk("b"), [0, 1, 2])


@pytest.mark.slow
def test_the_report_of_a_benchmark_within_meters_has_a_map(tmp_path, make_pairs):
    plain = open_frames(make_pairs(tmp_path / "set", n=6))
    options = Options(size=(48, 48), device="cpu")
    page = {}
    for name, frames, protocol in (
        ("positions", plain.assign(x=[30.0 * i for i in range(6)], y=0.0), "within:25"),
        ("pairs", plain, "exact"),
    ):
        given = {"store": tmp_path / name, "protocol": protocol, "misaligned": False, "options": options}
        result = benchmark(frames, ["hog"], "rgb", "tir", **given)
        page[name] = write_report(result, frames, tmp_path / name).read_text(encoding="utf-8")
        found = result.runs[0].matches
        assert (found is None) == (name == "pairs")
        if found is not None:  # what is drawn is what is measured
            right = np.mean(found.rows == np.arange(6))
            assert result.runs[0].recall["1"] == pytest.approx(100 * right)
            assert "matches" not in result.to_dict()["runs"][0]
    assert "Where the matches lie" in page["positions"]
    assert "Where the matches lie" not in page["pairs"]
