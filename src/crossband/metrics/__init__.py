"""Metrics: pure functions, each by a named protocol and tested against an independent reference."""

from .centroid import CentroidCondition, centroid_condition, compare_centroids
from .cka import cka_from_grams, linear_cka
from .fcm import PlaceScores, fraction_of_correct_matches, match_errors, score_matches
from .gap import ModalityGap, modality_gap
from .hubness import Hubness, hubness
from .protocol import PROTOCOLS, Protocol
from .ranking import Ranks, cmc, rank_positives, recall_at
from .resampling import bootstrap_interval, paired_test, recall_interval

__all__ = [
    "PROTOCOLS",
    "CentroidCondition",
    "Hubness",
    "ModalityGap",
    "PlaceScores",
    "Protocol",
    "Ranks",
    "bootstrap_interval",
    "centroid_condition",
    "cka_from_grams",
    "cmc",
    "compare_centroids",
    "fraction_of_correct_matches",
    "hubness",
    "linear_cka",
    "match_errors",
    "modality_gap",
    "paired_test",
    "rank_positives",
    "recall_at",
    "recall_interval",
    "score_matches",
]
