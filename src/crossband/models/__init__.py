"""Models, one paper or family a file, and their registry."""

from ._registry import ModelEntry, ModelInfo, create_model, find_model, list_models, register_model
from ._streams import create_streams, list_streams, register_stream

__all__ = [
    "ModelEntry",
    "ModelInfo",
    "create_model",
    "create_streams",
    "find_model",
    "list_models",
    "list_streams",
    "register_model",
    "register_stream",
]
