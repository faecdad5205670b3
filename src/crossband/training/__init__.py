"""Training: one trainer for every model that learns, and recipes that say everything a run depends on."""

from __future__ import annotations

from .evaluation import Evaluation, evaluate
from .recipe import Recipe, read_recipe
from .run import Training, train

__all__ = ["Evaluation", "Recipe", "Training", "evaluate", "read_recipe", "train"]
