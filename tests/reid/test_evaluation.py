"""Every set of bands against every other, from vectors made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.metrics.reid import reid_labels, score_reid
from crossband.reid.evaluation import FrameVectors, band_sets, evaluate_bands, fuse, tags_of

BANDS = ("rgb", "nir", "tir")
N = 24


def vectors(seed: int = 0, n: int = N) -> FrameVectors:
    rng = np.random.default_rng(seed)
    weights = rng.random((n, 3), np.float32)
    return FrameVectors(
        rng.standard_normal((n, 3, 8), np.float32),
        rng.standard_normal((n, 3, 5), np.float32),
        weights / weights.sum(1, keepdims=True),
        np.ones((n, 3), bool),
    )


def frames(n: int = N, **columns) -> Frames:
    rows = [
        {
            "frame": f"f{i}",
            **{band: f"{band}/{i}.png" for band in BANDS},
            "identity": f"v{i % 6}",
            "camera": f"c{i // 6}",
            "tags": ("BN", "", "LI VC")[i % 3],
        }
        for i in range(n)
    ]
    return Frames.make(rows, ".").assign(**columns)


def test_there_is_every_set_of_bands_against_every_other():
    found = evaluate_bands(BANDS, vectors(), vectors(), frames(), frames(), "same-camera")
    said = {(pair.query, pair.gallery, pair.descriptor) for pair in found.pairs}
    assert len(said) == len(found.pairs) == 2 * 7 * 7
    assert ("rgb+nir+tir", "rgb+nir+tir", "features") in said
    assert ("rgb", "tir", "features") in said
    assert ("rgb", "tir", "scores") in said
    assert found.pairs[found.headline].query == found.pairs[found.headline].gallery == "rgb+nir+tir"


def test_the_first_figures_are_of_the_bands_and_the_descriptor_asked_for():
    for descriptor in ("features", "scores"):
        found = evaluate_bands(
            BANDS, vectors(), vectors(1), frames(), frames(), "own-frame", (["tir"], ["nir", "rgb"]), descriptor
        )
        pair = found.pairs[found.headline]
        assert (pair.query, pair.gallery, pair.descriptor) == ("tir", "rgb+nir", descriptor)
        assert found.to_dict()["descriptor"] == descriptor
        shown = next(p for p in found.pairs if [p.query, p.gallery, p.descriptor] == ["nir", "nir", descriptor])
        mask = np.array(["BN" in tags for tags in found.tags])
        assert found.challenges()["BN"]["mAP"]["nir"] == pytest.approx(shown.scores.select(mask).mean_ap)


@pytest.mark.slow
@pytest.mark.parametrize(("query", "gallery"), [((0,), (2,)), ((0, 1), (0, 1, 2)), ((1,), (1,))])
def test_a_pair_is_the_sum_of_its_bands_features_at_unit_length(query, gallery):
    mine, theirs = vectors(0), vectors(1)
    found = evaluate_bands(BANDS, mine, theirs, frames(), frames(), "own-frame")
    named = ["+".join(BANDS[i] for i in part) for part in (query, gallery)]
    pair = next(p for p in found.pairs if [p.query, p.gallery, p.descriptor] == [*named, "features"])
    a, b = mine.features[:, list(query)].sum(1), theirs.features[:, list(gallery)].sum(1)
    cosine = (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)[None]
    labels = reid_labels(frames(), frames(), "own-frame")
    expected = score_reid([(0, 1 - cosine)], *labels, "own-frame")
    assert pair.scores.mean_ap == pytest.approx(expected.mean_ap, abs=1e-6)


def test_class_scores_are_compared_without_their_mean_over_the_classes():
    mine = vectors(0)
    moved = FrameVectors(
        mine.features, mine.scores + 5 * np.ones((N, 3, 1), np.float32), mine.weights, mine.present
    )
    first, second = (
        evaluate_bands(BANDS, one, one, frames(), frames(), "same-camera").pairs[-1].scores.mean_ap
        for one in (mine, moved)
    )
    assert first == pytest.approx(second, abs=1e-6)


def test_frames_without_the_bands_asked_for_are_counted_and_never_compared():
    mine = vectors()
    present = mine.present.copy()
    present[:5, 2] = False
    gone = FrameVectors(mine.features, mine.scores, mine.weights, present)
    found = evaluate_bands(BANDS, gone, gone, frames(), frames(), "same-camera")
    thermal = next(p for p in found.pairs if (p.query, p.gallery, p.descriptor) == ("tir", "tir", "features"))
    assert (thermal.n_without_band, thermal.n_gallery_without_band) == (5, 5)
    assert thermal.scores.n_gallery == N - 5
    assert not thermal.scores.kept[:5].any()
    both = next(p for p in found.pairs if (p.query, p.gallery, p.descriptor) == ("rgb+tir", "rgb", "features"))
    assert both.n_without_band == 0


def test_a_gallery_that_lacks_the_band_altogether_is_a_sentence():
    mine = vectors()
    none = FrameVectors(mine.features, mine.scores, mine.weights, np.zeros((N, 3), bool))
    with pytest.raises(CrossbandError):
        evaluate_bands(BANDS, mine, none, frames(), frames(), "same-camera")


def test_challenges_are_the_means_over_their_queries_and_weights_those_over_their_frames():
    mine = vectors()
    found = evaluate_bands(BANDS, mine, mine, frames(), frames(), "same-camera")
    told = found.challenges()
    assert set(told) == {"BN", "LI", "VC", "none"}
    mask = np.arange(N) % 3 == 0
    assert told["BN"]["n_queries"] == 8
    assert told["BN"]["mAP"]["rgb+nir+tir"] == pytest.approx(100 * found.scores.ap[mask].mean())
    assert set(told["BN"]["mAP"]) == {"rgb", "nir", "tir", "rgb+nir+tir"}
    assert found.weights["BN"]["tir"] == pytest.approx(float(mine.weights[mask, 2].mean()), abs=1e-6)
    for weights in found.weights.values():
        assert sum(weights.values()) == pytest.approx(1, abs=1e-5)


def test_the_headline_is_what_was_asked_for():
    found = evaluate_bands(
        BANDS, vectors(), vectors(1), frames(), frames(), "same-camera", (["tir", "rgb"], ["nir"])
    )
    assert (found.pairs[found.headline].query, found.pairs[found.headline].gallery) == ("rgb+tir", "nir")
    assert found.to_dict()["mAP"] == found.scores.mean_ap


def test_the_interval_holds_the_mean():
    found = evaluate_bands(BANDS, vectors(), vectors(), frames(), frames(), "same-camera")
    low, high = found.interval(found.pairs[found.headline])
    assert low <= found.scores.mean_ap <= high


def test_fused_vectors_have_unit_length_or_none():
    mine = vectors()
    present = mine.present.copy()
    present[3] = False
    fused, usable = fuse(mine.features, present, [0, 2])
    assert np.allclose(np.linalg.norm(fused[usable], axis=1), 1, atol=1e-6)
    assert not usable[3]
    assert (fused[3] == 0).all()


def test_without_tags_no_query_has_a_challenge():
    assert tags_of(frames().assign(tags=None)) == [frozenset()] * N
    assert [len(chosen) for chosen in band_sets(BANDS)] == [1, 1, 1, 2, 2, 2, 3]
