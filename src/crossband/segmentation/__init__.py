"""Label maps of a user's own images: prediction, robustness, overlays."""

from .predict import LoadedSegmenter, Segmented, Segments, load_segmenter, segment
from .robustness import SegmentationCurve, segmentation_robustness

__all__ = [
    "LoadedSegmenter",
    "SegmentationCurve",
    "Segmented",
    "Segments",
    "load_segmenter",
    "segment",
    "segmentation_robustness",
]
