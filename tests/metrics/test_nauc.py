import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.metrics.nauc import nauc
from crossband.papers.thermal_reid import PUBLISHED_CMC


def test_it_is_the_integral_of_the_curve_by_fine_steps():
    curve = np.sort(np.random.default_rng(0).uniform(0, 100, 20))
    at = np.linspace(1, 20, 2_000_001)
    middle = (at[1:] + at[:-1]) / 2
    integral = np.interp(middle, np.arange(1, 21), curve).sum() * (at[1] - at[0])
    assert nauc(curve) == pytest.approx(integral / 19, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 37.5, 100.0])
def test_a_flat_curve_is_its_height(value):
    assert nauc(np.full(7, value)) == nauc(np.array([value])) == value


@pytest.mark.parametrize("row", PUBLISHED_CMC.values(), ids=lambda row: row.method)
def test_ranks_1_to_20_are_what_the_paper_must_mean(row):
    chords = np.interp(np.arange(1, 21), list(row.cmc), list(row.cmc.values()))
    assert 0 < row.nauc - nauc(chords) < 3  # a concave curve lies above its chords


@pytest.mark.parametrize("curve", [np.zeros(0), np.array([1.0, np.nan]), np.zeros((2, 2))])
def test_what_is_no_curve_is_refused(curve):
    with pytest.raises(CrossbandError):
        nauc(curve)
