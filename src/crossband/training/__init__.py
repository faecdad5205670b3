"""Training: one trainer for every model that learns, and recipes that say everything a run depends on."""

from __future__ import annotations

from .checkpoint import load_network, read_account
from .recipe import Recipe, read_recipe
from .verbs import evaluate, reproduce, train

__all__ = ["Recipe", "evaluate", "load_network", "read_account", "read_recipe", "reproduce", "train"]
