"""The losses of HAMNet against their equations, written out with loops over the paper's own indices."""

from __future__ import annotations

import math

import pytest
import torch

from crossband.errors import CrossbandError
from crossband.losses import (
    StreamsLoss,
    batch_hard_triplet_loss,
    class_aware_loss,
    class_aware_weights,
    fused_maps,
    multi_stream_loss,
    score_coherence_loss,
)
from crossband.models.streams import StreamsOutput

BANDS = pytest.mark.parametrize("m", [1, 2, 3, 4])


def some_maps(m: int, batch: int = 2, classes: int = 3, h: int = 2, w: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(m)
    return 3 * torch.randn(batch, m, classes, h, w, generator=generator, dtype=torch.float64)


def labels_of(batch: int = 2) -> torch.Tensor:
    return torch.arange(batch) % 3


def _reference_chances(maps: torch.Tensor) -> list[list[list[torch.Tensor]]]:
    """Equations (1) and (2): [frame][stream][class]."""
    found = []
    for frame in maps:
        streams = []
        for stream in frame:
            scores = [sum(m.flatten()) / m.numel() for m in stream]
            total = sum(torch.exp(s) for s in scores)
            streams.append([torch.exp(s) / total for s in scores])
        found.append(streams)
    return found


def _reference_msid(maps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    chances = _reference_chances(maps)
    losses = [
        sum(-torch.log(stream[c]) for stream in frame)
        for frame, c in zip(chances, labels.tolist(), strict=True)
    ]
    return sum(losses) / len(losses)


def _reference_hsc(maps: torch.Tensor) -> torch.Tensor:
    losses = []
    for frame in _reference_chances(maps):
        total = 0.0
        for i in range(len(frame[0])):
            product = torch.ones((), dtype=maps.dtype)
            for stream in frame:
                product = product * stream[i]
            total = total + product
        losses.append(1 - total)
    return sum(losses) / len(losses)


def _reference_weights(frame: torch.Tensor) -> list[list[torch.Tensor]]:
    """Equations (7) to (10) of one frame ``(m, C, h, w)``: [class][stream]."""
    m, classes, h, w = frame.shape
    found = []
    for c in range(classes):
        a = [[[1 / (1 + torch.exp(-frame[j, c, y, x])) for x in range(w)] for y in range(h)] for j in range(m)]
        b = [
            [max((a[j][y][x] for j in range(m)), key=lambda value: value.item()) for x in range(w)]
            for y in range(h)
        ]
        eta = [sum(a[j][y][x] * b[y][x] for y in range(h) for x in range(w)) for j in range(m)]
        found.append([eta[j] / sum(eta) for j in range(m)])
    return found


def _reference_caid(maps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    losses = []
    for frame, true in zip(maps, labels.tolist(), strict=True):
        weights = _reference_weights(frame)
        fused = [sum(weights[c][j] * frame[j, c] for j in range(len(frame))) for c in range(frame.shape[1])]
        scores = [f.mean() for f in fused]
        losses.append(-torch.log(torch.exp(scores[true]) / sum(torch.exp(s) for s in scores)))
    return sum(losses) / len(losses)


def output_of(maps: torch.Tensor, present: torch.Tensor | None = None) -> StreamsOutput:
    scores = maps.mean((-2, -1))[:, :, None]
    present = torch.ones(maps.shape[:2], dtype=torch.bool) if present is None else present
    return StreamsOutput(present, scores[:, :, 0], scores, maps, None, maps.new_zeros(()))


@BANDS
def test_the_losses_and_their_gradients_are_the_equations(m):
    labels, alpha = labels_of(), 0.001
    parts = {
        "msid": (lambda x: multi_stream_loss(x.mean((-2, -1)), labels), lambda x: _reference_msid(x, labels)),
        "hsc": (lambda x: score_coherence_loss(x.mean((-2, -1))), _reference_hsc),
        "caid": (lambda x: class_aware_loss(x, labels), lambda x: _reference_caid(x, labels)),
        "total": (
            lambda x: StreamsLoss(alpha, 1.0)(output_of(x), labels),
            lambda x: _reference_msid(x, labels) + alpha * _reference_hsc(x) + _reference_caid(x, labels),
        ),
    }
    for name, (ours, reference) in parts.items():
        mine, theirs = some_maps(m).requires_grad_(), some_maps(m).requires_grad_()
        a, b = ours(mine), reference(theirs)
        assert abs(float((a - b).detach())) < 1e-6, name
        (gradient,), (expected,) = torch.autograd.grad(a, mine), torch.autograd.grad(b, theirs)
        assert torch.allclose(gradient, expected, atol=1e-6), name


@BANDS
def test_the_weights_are_those_of_equation_10_and_sum_to_one_over_the_bands(m):
    maps = some_maps(m)
    weights = class_aware_weights(maps)
    expected = torch.tensor([_reference_weights(frame) for frame in maps]).transpose(1, 2).double()
    assert torch.allclose(weights, expected, atol=1e-6)
    assert torch.allclose(weights.sum(1), torch.ones(2, 3, dtype=torch.float64), atol=1e-12)
    assert weights.min() >= 0


def test_gradients_pass_the_numerical_check():
    maps = some_maps(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: StreamsLoss(0.3, 1.0)(output_of(x), labels_of()), (maps,))


def test_of_one_band_only_the_identification_is_left():
    maps, _labels = some_maps(1), labels_of()
    assert score_coherence_loss(maps.mean((-2, -1))) == pytest.approx(0, abs=1e-12)
    assert torch.equal(fused_maps(maps), maps[:, 0])


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_missing_band_is_as_if_there_were_one_band_less(gone):
    maps, labels = some_maps(3), labels_of()
    present = torch.ones(2, 3, dtype=torch.bool)
    present[:, gone] = False
    left = maps[:, [j for j in range(3) if j != gone]]
    spoilt = maps.clone()
    spoilt[:, gone] = 1e3  # whatever stands there must not count
    loss = StreamsLoss(0.5, 1.0)
    assert float(loss(output_of(spoilt, present), labels)) == pytest.approx(
        float(loss(output_of(left), labels))
    )
    assert (class_aware_weights(spoilt, present)[:, gone] == 0).all()


def test_a_frame_without_any_band_does_not_count():
    maps, labels = some_maps(2, batch=3), labels_of(3)
    present = torch.tensor([[True, True], [False, False], [True, True]])
    kept = torch.tensor([0, 2])
    loss = StreamsLoss(0.5, 1.0)
    given = maps.clone().requires_grad_()
    value = loss(output_of(given, present), labels)
    assert float(value) == pytest.approx(float(loss(output_of(maps[kept]), labels[kept])))
    value.backward()
    assert torch.isfinite(given.grad).all()
    assert (given.grad[1] == 0).all()


def test_coherence_is_least_where_all_streams_are_sure_of_one_class_and_pays_disagreement():
    sure = torch.tensor([[[9.0, 0, 0], [9.0, 0, 0]]])
    torn = torch.tensor([[[9.0, 0, 0], [0, 9.0, 0]]])
    assert score_coherence_loss(sure) < 0.01 < 0.9 < score_coherence_loss(torn) <= 1


def test_several_classifiers_of_a_stream_are_summed():
    scores, labels = torch.randn(4, 2, 6, 5), torch.tensor([0, 1, 2, 3])
    each = sum(multi_stream_loss(scores[:, :, k], labels) for k in range(6))
    assert float(multi_stream_loss(scores, labels)) == pytest.approx(float(each), rel=1e-6)


def test_the_triplet_loss_is_pytorch_metric_learnings():
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    reducers = pytest.importorskip("pytorch_metric_learning.reducers")
    features, labels = torch.randn(12, 7), torch.arange(12) % 4
    euclid = distances.LpDistance(normalize_embeddings=False)
    loss = losses.TripletMarginLoss(margin=0.3, distance=euclid, reducer=reducers.MeanReducer())
    expected = loss(features, labels, miners.BatchHardMiner(distance=euclid)(features, labels))
    assert float(batch_hard_triplet_loss(features, labels, 0.3)) == pytest.approx(float(expected), rel=1e-5)


def test_without_a_pair_in_the_batch_the_triplet_loss_is_zero_and_so_is_its_gradient():
    features = torch.randn(3, 4, requires_grad=True)
    loss = batch_hard_triplet_loss(features, torch.tensor([0, 1, 2]))
    loss.backward()
    assert float(loss) == 0
    assert (features.grad == 0).all()


@pytest.mark.parametrize("loss", [StreamsLoss(0, 1.0), StreamsLoss(triplet=1.0)])
def test_a_part_that_these_streams_cannot_give_is_named(loss):
    scores = torch.randn(2, 1, 1, 3)
    output = StreamsOutput(
        torch.ones(2, 1, dtype=torch.bool), scores[:, :, 0], scores, None, None, torch.zeros(())
    )
    with pytest.raises(CrossbandError, match=r"model\.stream"):
        loss(output, torch.tensor([0, 1]))


def test_uniform_scores_cost_the_logarithm_of_the_number_of_classes():
    assert float(multi_stream_loss(torch.zeros(3, 2, 7), torch.zeros(3, dtype=torch.int64))) == pytest.approx(
        2 * math.log(7), rel=1e-6
    )
