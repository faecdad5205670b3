"""The probability of one place: what it grows with, what it was learned on, and files that are none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.matching import Evidence, SamePlace
from crossband.metrics.reliability import auroc, reliability


def test_more_of_the_same_matches_make_one_place_more_probable():
    rows = [(n, n / 200, 0.8, 0.6) for n in (0, 10, 40, 120, 200)]
    nothing = (0.0, 0.0, 0.0, 0.0)
    assert SamePlace.packaged().probability(Evidence.of([nothing], np.zeros(1)))[0] < 0.2
    agreement = np.array([0.05, 0.15, 0.3, 0.6, 0.8])
    probable = SamePlace.packaged().probability(Evidence.of(rows, agreement))
    assert (np.diff(probable) > 0).all()
    assert probable[0] < 0.2
    assert probable[-1] > 0.9


def test_what_ships_was_learned_on_sets_that_allow_it():
    told = SamePlace.packaged().fitted_on
    assert "city" in told
    assert not any(name in told.lower() for name in ("roadscene", "epfl", "llvip"))


def test_a_clear_lead_makes_the_first_of_a_list_more_probable():
    model, row = SamePlace.packaged(), (40.0, 0.4, 0.8, 0.6)
    led = [
        model.probability(replace(Evidence.of([row], np.full(1, 0.5)), margin=np.full(1, margin)))[0]
        for margin in (0.0, 0.02, 0.05, 0.5)
    ]
    assert led[0] < led[1] < led[2] == led[3]


def test_inliers_on_a_line_have_no_spread():
    line = np.arange(20) + 5j
    square = (np.arange(400) % 20) + 1j * (np.arange(400) // 20)
    all_of = Evidence.of(
        [
            Evidence.row(where.astype(complex), np.ones(len(where), bool), np.ones(len(where)), (20, 20))
            for where in (line, square)
        ],
        np.zeros(2),
    )
    assert all_of.spread[0] == pytest.approx(0, abs=1e-3)
    assert all_of.spread[1] == pytest.approx(1, abs=0.05)


def test_a_model_is_read_as_it_was_written(tmp_path):
    model = SamePlace((1.0, 2.0, 3.0, 4.0), 0.5, (1.0, 2.0, 3.0, 4.0, 5.0), 0.25, "a test")
    assert SamePlace.read(model.write(tmp_path / "a.json")) == model


@pytest.mark.parametrize(
    "text", ["", "[]", '{"weights": [1], "bias": 0, "fitted_on": ""}', '{"weights": [NaN,1,1]}']
)
def test_other_files_are_one_sentence(tmp_path, text):
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(CrossbandError, match=r"b\.json"):
        SamePlace.read(path)
    with pytest.raises(CrossbandError, match=r"none\.json"):
        SamePlace.read(tmp_path / "none.json")


def test_auroc_and_calibration_error_follow_their_definitions():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p = rng.random(3000).round(2)
    right = rng.random(3000) < p
    found = reliability(p, right)
    assert found.auroc == pytest.approx(metrics.roc_auc_score(right, p))
    assert found.ece < 0.05
    assert reliability(np.sqrt(p), right).ece > 0.1
    assert sum(n for _, _, n in found.bins) == 3000
    assert auroc(p, np.ones(3000, bool)) is None
    json.dumps(found.bins)
