"""Losses: pure functions, each with a thin module on top."""

from .contrastive import paired_contrastive_loss, supervised_contrastive_loss
from .hamnet import (
    StreamsLoss,
    batch_hard_triplet_loss,
    class_aware_loss,
    class_aware_weights,
    fused_maps,
    identification_loss,
    multi_stream_loss,
    score_coherence_loss,
)
from .metric_learning import (
    ArcFaceLoss,
    ContrastiveLoss,
    TripletLoss,
    arcface_loss,
    contrastive_loss,
    pair_distance,
    triplet_loss,
)

__all__ = [
    "ArcFaceLoss",
    "ContrastiveLoss",
    "StreamsLoss",
    "TripletLoss",
    "arcface_loss",
    "batch_hard_triplet_loss",
    "class_aware_loss",
    "class_aware_weights",
    "contrastive_loss",
    "fused_maps",
    "identification_loss",
    "multi_stream_loss",
    "pair_distance",
    "paired_contrastive_loss",
    "score_coherence_loss",
    "supervised_contrastive_loss",
    "triplet_loss",
]
