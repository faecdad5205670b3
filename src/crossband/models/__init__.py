"""Models: one paper, one file, and registries that turn a name into a network."""

from ._registry import ModelEntry, ModelInfo, create_model, find_model, list_models, register_model
from ._segmentation import Segmenter, create_segmenter, list_segmenters, register_segmenter

__all__ = [
    "ModelEntry",
    "ModelInfo",
    "Segmenter",
    "create_model",
    "create_segmenter",
    "find_model",
    "list_models",
    "list_segmenters",
    "register_model",
    "register_segmenter",
]
