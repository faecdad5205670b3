"""What an evaluation's result can do, without a network."""

from __future__ import annotations

import json

import pandas as pd
import PIL.Image
import pytest

from crossband.errors import CrossbandError
from crossband.training import Evaluation

FOUND = Evaluation(
    "segmentation",
    "a small one",
    None,
    {
        "day": {"miou": 50.0, "iou": {"car": 80.0, "person": None}, "protocol": "present", "cmc": [1.0, 2.0]},
        "night": {"miou": 25.0, "iou": {"car": 40.0, "person": 10}},
    },
    ("miou", "iou/*"),
)


def test_its_table_has_every_number_by_its_path_and_nothing_else():
    table = FOUND.to_pandas()
    assert list(table.itertuples(index=False, name=None)) == [
        ("day", "miou", 50.0),
        ("day", "iou/car", 80.0),
        ("night", "miou", 25.0),
        ("night", "iou/car", 40.0),
        ("night", "iou/person", 10.0),
    ]


def test_it_draws_the_chosen_scores_of_every_test_part():
    [axes] = FOUND.plot().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["iou/person", "iou/car", "miou"]
    drawn = {line.get_label(): sorted(line.get_xdata()) for line in axes.lines}
    assert drawn == {"day": [50.0, 80.0], "night": [10.0, 25.0, 40.0]}


def test_its_report_is_what_it_holds_and_spares_the_results_of_another_verb(tmp_path):
    folder = FOUND.report(tmp_path / "new")
    assert json.loads((folder / "results.json").read_text()) == FOUND.to_dict()
    pd.testing.assert_frame_equal(pd.read_csv(folder / "results.csv"), FOUND.to_pandas())
    with PIL.Image.open(folder / "results.png") as picture:
        assert min(picture.size) > 100
    (tmp_path / "results.json").write_text('{"runs": []}')
    with pytest.raises(CrossbandError, match="another verb"):
        FOUND.report(tmp_path)
