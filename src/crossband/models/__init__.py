"""Models, one paper or family a file, and their registry."""

from ._registry import ModelEntry, ModelInfo, create_model, find_model, list_models, register_model

__all__ = ["ModelEntry", "ModelInfo", "create_model", "find_model", "list_models", "register_model"]
