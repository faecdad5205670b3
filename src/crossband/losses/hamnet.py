"""The losses of HAMNet: identities by every stream, alike scores, and class activation maps fused by class.

Li et al., "Multi-Spectral Vehicle Re-Identification: A Challenge", AAAI 2020, equations (1) to (13). What the
paper leaves open, and what is chosen here:

- **Reduction.** The equations are of one frame; a batch is their mean.
- **Weights of (10).** Gradients flow through them; the paper stops none.
- **Bands that are missing.** ``present`` says which frame has which band: sums, products, maxima and the
  weights of (10) run over the bands that a frame has, and a stream's mean over the frames that have its band.

Symbols: m streams (bands), C classes (identities), ``M^j`` the class activation maps ``(h, w)`` of stream j,
``S^j`` their means over positions. Here the streams are axis 1 of every tensor.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError
from .contrastive import supervised_contrastive_loss

if TYPE_CHECKING:
    from ..models.streams import StreamsOutput

__all__ = [
    "StreamsLoss",
    "batch_hard_triplet_loss",
    "class_aware_loss",
    "class_aware_weights",
    "fused_maps",
    "identification_loss",
    "multi_stream_loss",
    "score_coherence_loss",
]


def identification_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute equations (2) and (3): the cross entropy of each frame's scores.

    Args:
        scores: S, ``(B, C)``, floating point.
        labels: int64 ``(B,)``, each in [0, C).

    Returns:
        ``(B,)``, each at least 0.

    Example:
        >>> round(identification_loss(torch.zeros(1, 4), torch.tensor([2])).exp().item(), 4)
        4.0
    """
    return F.cross_entropy(scores, labels, reduction="none")


def multi_stream_loss(
    scores: torch.Tensor, labels: torch.Tensor, present: torch.Tensor | None = None
) -> torch.Tensor:
    """Compute equation (4), the loss of MSN: the sum over the streams of their mean identification losses.

    Args:
        scores: ``(B, m, C)``, or ``(B, m, K, C)`` of streams with K classifiers, which are summed.
        labels: int64 ``(B,)``.
        present: boolean ``(B, m)``; all by default.

    Returns:
        a scalar of at least 0.

    Example:
        >>> round(multi_stream_loss(torch.zeros(5, 3, 4), torch.zeros(5, dtype=torch.int64)).exp().item(), 3)
        64.0
    """
    parts = scores[:, :, None] if scores.ndim == 3 else scores
    batch, streams, classifiers, classes = parts.shape
    each = identification_loss(
        parts.reshape(-1, classes), labels.repeat_interleave(streams * classifiers)
    ).view(batch, streams, classifiers)
    return _mean_of_present(each.sum(2), present).sum()


def score_coherence_loss(scores: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
    """Compute equation (5), L_hsc, the score coherence loss.

    ``1 - sum_i prod_j p_i^j``, 0 where all streams are sure of the same class.

    Of one stream it is 0: there is nothing to agree with.

    Args:
        scores: ``(B, m, C)``, floating point.
        present: boolean ``(B, m)``; all by default.

    Returns:
        the mean over the frames, a scalar in [0, 1].

    Example:
        >>> sure = torch.tensor([[[50.0, 0.0], [50.0, 0.0]]])
        >>> round(score_coherence_loss(sure).item(), 6), score_coherence_loss(torch.zeros(1, 2, 4)).item()
        (0.0, 0.75)
    """
    chances = scores.softmax(-1)
    if present is not None:
        chances = torch.where(present[..., None], chances, 1.0)
        seen = present.any(1)
        return _mean(1 - chances[seen].prod(1).sum(-1))
    return _mean(1 - chances.prod(1).sum(-1))


def class_aware_weights(maps: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
    """Compute equations (7) to (10): how much each stream counts for each class.

    Args:
        maps: M, ``(B, m, C, h, w)``, floating point.
        present: boolean ``(B, m)``; all by default.

    Returns:
        alpha, ``(B, m, C)``, in [0, 1]; they sum to 1 over the streams, and a missing one has 0.

    Example:
        >>> maps = torch.stack([torch.full((1, 1, 2, 2), 9.0), torch.full((1, 1, 2, 2), -9.0)], 1)
        >>> class_aware_weights(maps)[0, :, 0]
        tensor([9.9988e-01, 1.2339e-04])
    """
    activation = maps.sigmoid()  # (7)
    if present is not None:
        activation = activation * present[:, :, None, None, None]
    strongest = activation.amax(1, keepdim=True)  # (8)
    response = (activation * strongest).sum((-2, -1))  # (9)
    return response / response.sum(1, keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)  # (10)


def fused_maps(maps: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
    """Compute equation (11): the maps of all streams as one, ``(B, m, C, h, w)`` to ``(B, C, h, w)``.

    Example:
        >>> one = torch.randn(2, 1, 3, 4, 4)
        >>> torch.allclose(fused_maps(one.expand(-1, 3, -1, -1, -1)), one[:, 0])
        True
    """
    return (class_aware_weights(maps, present)[..., None, None] * maps).sum(1)


def class_aware_loss(
    maps: torch.Tensor, labels: torch.Tensor, present: torch.Tensor | None = None
) -> torch.Tensor:
    """Compute equation (12), L_caid: the identification loss of the fused maps' means.

    Args:
        maps: ``(B, m, C, h, w)``, floating point.
        labels: int64 ``(B,)``.
        present: boolean ``(B, m)``; all by default. A frame without any band does not count.

    Returns:
        the mean over the frames, a scalar of at least 0.

    Example:
        >>> round(class_aware_loss(torch.zeros(2, 3, 4, 2, 2), torch.tensor([0, 3])).exp().item(), 3)
        4.0
    """
    losses = identification_loss(fused_maps(maps, present).mean((-2, -1)), labels)
    return _mean(losses if present is None else losses[present.any(1)])


def batch_hard_triplet_loss(features: torch.Tensor, labels: torch.Tensor, margin: float = 0.3) -> torch.Tensor:
    """Compute the batch-hard triplet loss by Euclidean distance.

    Each item stands against its farthest positive and its nearest negative in the batch.

    Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017, equation (5). Items
    without a positive or a negative in the batch do not count.

    Args:
        features: ``(B, D)``, floating point.
        labels: int64 ``(B,)``.
        margin: in units of the distance.

    Returns:
        the mean over the items that count, a scalar of at least 0.

    Example:
        >>> features = torch.tensor([[0.0], [1.0], [3.0]])
        >>> round(batch_hard_triplet_loss(features, torch.tensor([0, 0, 1]), margin=2.5).item(), 4)
        1.0
    """
    squared = (features[:, None] - features[None]).square().sum(-1)
    distance = squared.clamp(min=1e-12).sqrt()  # the root has no gradient at 0
    same = labels[:, None] == labels[None]
    other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    far = distance.masked_fill(~(same & other), -torch.inf).amax(1)
    near = distance.masked_fill(same, torch.inf).amin(1)
    counts = torch.isfinite(far) & torch.isfinite(near)
    return _mean((far[counts] - near[counts] + margin).clamp(min=0))


class StreamsLoss(nn.Module):
    """Equation (13), with a weight for each part: MSN is the first part alone, HAMNet all three.

    ``L_msid + coherence * L_hsc + class_aware * L_caid + triplet * L_tri + contrast * L_con``, and what a
    stream asks for of itself. A part of weight 0 is not computed.

    Args:
        coherence: alpha of (6); the paper's is 0.001.
        class_aware: of (12); 1 in the paper.
        triplet: of :func:`batch_hard_triplet_loss`, on the embeddings of streams that have some.
        margin: of the triplet loss.
        contrast: of L_con, :func:`.supervised_contrastive_loss` over the images of all bands as one batch, plus
            its mean over every sum of two bands or more: what is compared when searching.

    Raises:
        CrossbandError: a weight below 0.
    """

    def __init__(
        self,
        coherence: float = 0.0,
        class_aware: float = 0.0,
        triplet: float = 0.0,
        margin: float = 0.3,
        contrast: float = 0.0,
    ) -> None:
        super().__init__()
        least = min(coherence, class_aware, triplet, contrast)
        if least < 0:
            raise CrossbandError(f"loss weights must be 0 or more, not {least}")
        self.coherence, self.class_aware, self.contrast = coherence, class_aware, contrast
        self.triplet, self.margin = triplet, margin

    def forward(self, output: StreamsOutput, labels: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch, a scalar.

        Raises:
            CrossbandError: a part needs what these streams do not give.
        """
        present = output.present
        loss = multi_stream_loss(output.scores, labels, present) + output.penalty
        if self.coherence:
            loss = loss + self.coherence * score_coherence_loss(output.scores[:, :, 0], present)
        if self.class_aware:
            if output.maps is None:
                raise CrossbandError("loss.class_aware needs class activation maps; use model.stream=ide")
            loss = loss + self.class_aware * class_aware_loss(output.maps, labels, present)
        if self.triplet:
            loss = loss + self.triplet * self._triplets(output, labels)
        if self.contrast:
            loss = loss + self.contrast * _contrast(output.features, labels, present)
        return loss

    def _triplets(self, output: StreamsOutput, labels: torch.Tensor) -> torch.Tensor:
        """The sum over streams and embeddings ``(B, m, G, e)``."""
        embeddings, present = output.embeddings, output.present
        if embeddings is None:
            raise CrossbandError(
                "loss.triplet needs a stream with embeddings; use model.stream=cosine, mgn or abd"
            )
        parts = [
            batch_hard_triplet_loss(embeddings[present[:, j], j, g], labels[present[:, j]], self.margin)
            for j in range(embeddings.shape[1])
            for g in range(embeddings.shape[2])
        ]
        return torch.stack(parts).sum()


def _contrast(features: torch.Tensor, labels: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """L_con of features ``(B, m, d)``; a frame takes part in a sum where it has all of its bands."""
    loss = supervised_contrastive_loss(features[present], labels[:, None].expand_as(present)[present])
    m = features.shape[1]
    sets = [list(chosen) for size in range(2, m + 1) for chosen in itertools.combinations(range(m), size)]
    sums = []
    for chosen in sets:
        whole = present[:, chosen].all(1)
        sums.append(supervised_contrastive_loss(features[whole][:, chosen].sum(1), labels[whole]))
    return loss + torch.stack(sums).mean() if sums else loss


def _mean_of_present(values: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
    """Means over the frames that have a band, ``(B, m)`` to ``(m,)``; 0 where none has."""
    if present is None:
        return values.mean(0)
    counts = present.sum(0).clamp(min=1)
    return torch.where(present, values, 0.0).sum(0) / counts


def _mean(values: torch.Tensor) -> torch.Tensor:
    """The mean; 0, with a gradient of 0, of no values at all."""
    return values.sum() / max(len(values), 1)
