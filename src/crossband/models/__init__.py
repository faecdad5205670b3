"""Models: one paper, one file, and registries that turn a name into a network."""

from ._registry import (
    ModelEntry,
    ModelInfo,
    create_encoder,
    find_model,
    list_models,
    list_rerankers,
    register_model,
)
from ._segmentation import Segmenter, create_segmenter, list_segmenters, register_segmenter
from .streams import create_streams, list_streams, register_stream

__all__ = [
    "ModelEntry",
    "ModelInfo",
    "Segmenter",
    "create_encoder",
    "create_segmenter",
    "create_streams",
    "find_model",
    "list_models",
    "list_rerankers",
    "list_segmenters",
    "list_streams",
    "register_model",
    "register_segmenter",
    "register_stream",
]
