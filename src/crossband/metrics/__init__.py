"""Metrics: pure functions, each by a named protocol and tested against an independent reference."""

from .centroid import CentroidCondition, centroid_condition, compare_centroids
from .cka import cka_from_grams, linear_cka
from .protocol import PROTOCOLS, Protocol
from .ranking import Ranks, cmc, rank_positives, recall_at
from .resampling import bootstrap_interval, paired_test, recall_interval

__all__ = [
    "PROTOCOLS",
    "CentroidCondition",
    "Protocol",
    "Ranks",
    "bootstrap_interval",
    "centroid_condition",
    "cka_from_grams",
    "cmc",
    "compare_centroids",
    "linear_cka",
    "paired_test",
    "rank_positives",
    "recall_at",
    "recall_interval",
]
