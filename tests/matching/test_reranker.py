"""Re-ranking by an encoder's maps: what agrees leads, twins share a place, and a pair is no list."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from crossband.matching import MatchReranker, SamePlace
from crossband.matching.features import LocalFeatures
from crossband.nn import Encoder

MODEL = SamePlace((0.2, 0.0, 0.0, 8.0), -4.0, (0.2, 0.0, 0.0, 8.0, 60.0), -6.0, "a test")


@pytest.fixture(scope="module")
def reranker() -> MatchReranker:
    encoder = Encoder(nn.Sequential(nn.Conv2d(3, 16, 3, 4, 1)), "0")
    return MatchReranker(encoder, (64, 64), LocalFeatures(encoder, ["0"]), MODEL)


@pytest.fixture(scope="module")
def places() -> torch.Tensor:
    """Features of eight places, smooth as an encoder's are, ``(8, 256, 16)``."""
    noise = torch.randn(8, 16, 20, 20, generator=torch.Generator().manual_seed(0))
    smooth = F.avg_pool2d(noise, 5, 1)
    return F.normalize(smooth.flatten(2).transpose(1, 2), dim=2)


def seen_again(place: torch.Tensor, much: float, seed: int = 1) -> torch.Tensor:
    noise = torch.randn(place.shape, generator=torch.Generator().manual_seed(seed))
    return F.normalize(place + much * F.normalize(noise, dim=-1), dim=-1)


def test_the_same_place_leads_whatever_its_distance_and_is_the_most_probable(reranker, places):
    candidates = [places[1], places[2], seen_again(places[0], 0.7), places[3]]
    found = reranker.judge(places[0], candidates, np.array([0.1, 0.2, 0.9, 0.4]))
    assert found.scores.argmax() == 2
    assert found.same_place is not None
    assert found.same_place.argmax() == 2
    assert found.same_place[2] > 0.9
    assert np.delete(found.same_place, 2).max() < 0.2


def test_the_scores_of_the_best_two_are_of_both_ways(reranker, places):
    """The query laid over by two near candidates tells them apart, and changes nothing but their order."""
    near, nearer = seen_again(places[0], 1.2), seen_again(places[0], 0.9)
    for candidates in ([near, nearer, places[1]], [nearer, near, places[1]]):
        found = reranker.judge(places[0], candidates, np.ones(3))
        assert candidates[int(found.scores.argmax())] is nearer
        one_way = reranker.scores(places[0], candidates)
        assert sorted(found.scores) == pytest.approx(sorted(one_way))


def test_twins_are_as_probable_as_each_other_and_more_than_what_is_elsewhere(reranker, places):
    twin = seen_again(places[0], 0.7)
    found = reranker.judge(places[0], [twin, twin.clone(), places[1]], np.ones(3))
    assert found.same_place is not None
    assert found.same_place[0] == pytest.approx(found.same_place[1])
    assert found.same_place[0] > 5 * found.same_place[2]


def test_a_single_candidate_is_judged_as_a_pair(reranker, places):
    other = seen_again(places[0], 0.7)
    found = reranker.judge(places[0], iter([other]), np.ones(1))
    pair = reranker.evidence(places[0], [other])
    assert pair.margin is None
    assert found.same_place == pytest.approx(MODEL.probability(pair))


def test_features_that_say_nothing_are_judged_too(reranker, places):
    blank = torch.zeros_like(places[0])
    found = reranker.judge(blank, [blank, places[0], places[1]], np.ones(3))
    assert np.isfinite(found.scores).all()
    assert found.same_place is not None
    assert (found.same_place < 0.5).all()


def test_within_a_band_the_descriptor_decides_between_candidates_with_like_matches(reranker, places):
    near, far = seen_again(places[0], 0.7), seen_again(places[0], 0.7, seed=2)
    for distances in ([0.1, 0.5, 0.6], [0.5, 0.1, 0.6]):
        found = reranker.judge_within(places[0], [near, far, places[1]], np.array(distances))
        assert found.scores.argmax() == int(np.argmin(distances))
        assert found.same_place is not None
        assert found.same_place[:2].min() > found.same_place[2]


def test_within_a_band_what_matches_leads_a_stranger_with_a_smaller_distance(reranker, places):
    found = reranker.judge_within(places[0], [places[1], seen_again(places[0], 0.5)], np.array([0.4, 0.5]))
    assert found.scores.argmax() == 1
