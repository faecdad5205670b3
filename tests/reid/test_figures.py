"""Pictures of a re-identification: CMC curves and how often each challenge occurs."""

from __future__ import annotations

import PIL.Image
import pytest

from crossband.frames import Frames
from crossband.papers.thermal_reid import PUBLISHED_CMC, draw_cmc
from crossband.reid.figures import CHALLENGES, count_challenges, plot_challenges
from crossband.reports.plots import plot_cmc
from crossband.training import evaluate

from .test_task import content, write_vehicles


def tagged(*tags, start=0):
    return Frames.make([{"frame": str(start + i), "rgb": "a.png", "tags": t} for i, t in enumerate(tags)], ".")


def test_a_frame_in_two_parts_counts_once_and_one_with_two_challenges_twice():
    gallery, queries = tagged("VC BN", "BN", None, "BN"), tagged("VC BN", start=0)
    assert count_challenges(queries, gallery) == {"black night": 3, "view change": 1, "none": 1}
    assert count_challenges(Frames.make([{"frame": "a", "rgb": "a.png"}], ".")) == {"none": 1}


def test_bars_are_the_counts_with_their_share():
    ax = plot_challenges(tagged("SH", "SH", "", "GL")).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [1, 1, 2]  # none at the bottom, the most frequent on top
    assert "2  (50.0 %)" in [text.get_text() for text in ax.texts]


def test_a_cmc_is_drawn_through_its_ranks_beside_the_published():
    figure = plot_cmc({"a": {1: 10.0, 5: 30.0}, "b": {1: 20.0}}, {"a": {1: 11.0, 10: 50.0}})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert lines["a"].get_xydata().tolist() == [[1, 10], [5, 30]]
    assert lines["a, published"].get_color() == lines["a"].get_color() != lines["b"].get_color()


@pytest.mark.slow
def test_evaluate_draws_the_cmc_and_the_challenges_of_tagged_frames(tmp_path):
    root = tmp_path / "data"
    for name, seed in (("vehicles", 0), ("others", 1)):
        write_vehicles(root / name, seed=seed)
    manifest = next((root / "vehicles").glob("frames.*"))
    frames = Frames.read(manifest)
    tags = [list(CHALLENGES)[i % 7] for i in range(len(frames))]
    frames.assign(tags=tags).write(manifest)
    results = evaluate(content(data={"bands": ["rgb", "nir"]}), None, tmp_path / "out", data_root=root)
    assert results.tests["test"]["challenges"]
    for name in ("cmc_test.png", "challenges_test.png"):
        with PIL.Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 200


@pytest.mark.parametrize("curve", [{}, {"curve": [float(r) for r in range(1, 21)]}])
def test_table_2_is_drawn_from_old_and_new_results(curve):
    found = {"cmc": {"1": 1.0, "5": 5.0, "10": 10.0, "15": 15.0, "20": 20.0}, **curve}
    results = {"city_vrai": found, "city_bot_bs": found, "matching": {"translated": found}}
    lines = draw_cmc(results).axes[0].lines
    assert len(lines) == 2 * len(PUBLISHED_CMC)
    assert lines[0].get_xydata()[-1].tolist() == [20, 20]
