"""What losses say of settings that mean nothing."""

from __future__ import annotations

import pytest
import torch

from crossband.losses import StreamsLoss
from crossband.losses.metric_learning import ArcFaceLoss, ContrastiveLoss, TripletLoss
from crossband.losses.segmentation import SegmentationLoss
from crossband.models.streams import StreamsOutput

from ..messages import assert_says


def without_parts() -> StreamsOutput:
    """What streams give that have neither local parts nor a heterogeneity to score."""
    scores = torch.randn(2, 1, 1, 3)
    return StreamsOutput(
        torch.ones(2, 1, dtype=torch.bool), scores[:, :, 0], scores, None, None, torch.zeros(())
    )


MESSAGES = {
    "arcface": (lambda: ArcFaceLoss(3, 1), "needs at least two classes"),
    "contrastive": (lambda: ContrastiveLoss(0.0), "above 0"),
    "triplet": (lambda: TripletLoss(0.0), "above 0"),
    "streams, weight": (lambda: StreamsLoss(coherence=-1.0), "0 or more"),
    "streams, part": (
        lambda: StreamsLoss(triplet=1.0)(without_parts(), torch.tensor([0, 1])),
        "needs ... use model.stream=",
    ),
    "confidence": (
        lambda: SegmentationLoss(None, regression="l3"),
        "unknown loss of the confidence 'l3'; did you mean l",
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(case):
    assert_says(*MESSAGES[case])
