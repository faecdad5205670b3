"""Losses: pure functions, each with a thin module on top."""

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
    "TripletLoss",
    "arcface_loss",
    "contrastive_loss",
    "pair_distance",
    "triplet_loss",
]
