"""Local features, geometric verification, and the registration of two cameras."""

from .agreement import Laid, lay_over
from .features import LocalFeatures
from .geometry import Consensus, consensus
from .keypoints import create_features, list_features
from .matches import Matches, mutual_matches
from .reranker import MatchReranker
from .same_place import Evidence, SamePlace

__all__ = [
    "Consensus",
    "Evidence",
    "Laid",
    "LocalFeatures",
    "MatchReranker",
    "Matches",
    "SamePlace",
    "consensus",
    "create_features",
    "lay_over",
    "list_features",
    "mutual_matches",
]
