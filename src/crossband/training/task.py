"""What the trainer needs to know of a task, and the registry of tasks.

A task is one file in the domain it belongs to: a recipe of its own, a network, a loss, and a score on val.
The trainer in :mod:`.engine` knows nothing else of it, so every model that learns shares precision, processes,
resuming, selection and logs.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..registry import Registry
from .recipe import Recipe

__all__ = ["Task", "TaskEntry", "find_task", "register_task"]

Batch = dict[str, torch.Tensor]


class Task(abc.ABC):
    """One run's data, network, loss and score.

    Args:
        recipe: what the run depends on.
        root: the folder that the recipe's frames are relative to.

    Attributes:
        recipe: what the run depends on.
        network: what is trained and kept.
        criterion: the loss, with parameters of its own perhaps (they are not kept in the checkpoint).
        monitor: the score that selects the checkpoint; more is better.
        precision: Lightning's name of what the network computes in, as the trainer chose it.
        divides: whether processes may divide a batch by themselves: not where its loss compares samples.
        reaches_all: whether every parameter of network and criterion has a gradient in every step.
        shown: which of the scores of :meth:`test` are drawn, as ``recall/*``; ``unit`` is theirs.
    """

    recipe: Recipe
    network: nn.Module
    criterion: nn.Module
    monitor: str
    precision: str = "32-true"
    divides: bool = False
    reaches_all: bool = True
    shown: tuple[str, ...] = ("*",)
    unit: str = "%"

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe, self._root = recipe, root
        torch.manual_seed(recipe.seed)

    def prepare(self) -> None:
        """Set what depends on data before the first step, such as cluster centers; nothing by default."""
        return

    def complete(self, checkpoint: Path) -> None:
        """Add to a finished run's checkpoint what is only known at its end; nothing by default.

        A run that was finished and is started again comes here too.
        """
        return

    def check(self) -> None:
        """Check for what would spoil a run before it starts; nothing by default.

        Raises:
            CrossbandError: val and test share queries, say.
        """
        return

    @abc.abstractmethod
    def samples(self, epoch: int) -> np.ndarray:
        """Draw the samples of an epoch, int64 ``(n, k)``, one row per sample; n is the same in every epoch.

        Called on every process at the start of each epoch, with the network as it stands; all processes must
        return the same.
        """

    @abc.abstractmethod
    def read(self, sample: np.ndarray, generator: torch.Generator) -> Batch:
        """Read the tensors of one sample; every random number comes from the generator."""

    @abc.abstractmethod
    def loss(self, batch: Batch) -> torch.Tensor:
        """Compute the mean loss of a batch, a scalar."""

    @abc.abstractmethod
    def images_in(self, sample: np.ndarray) -> list[str]:
        """Name the images of a sample, for messages."""

    @abc.abstractmethod
    def validate(self) -> dict[str, float]:
        """Score on val, with :attr:`monitor` among the scores; called on every process."""

    @abc.abstractmethod
    def test(self) -> dict[str, dict[str, Any]]:
        """Measure every test pair, as JSON holds it."""

    def metadata(self) -> dict[str, Any]:
        """Return the checkpoint's metadata besides the recipe: classes, band statistics, weights."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs of the task: tensors, numbers and text."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        return

    def draw(self, out: Path) -> list[Path]:
        """Draw what :meth:`test` found into a folder, and return the files; nothing by default."""
        return []

    def epoch_figures(self) -> dict[str, float]:
        """Return figures of the last epoch for the log."""
        return {}


@dataclass(frozen=True)
class TaskEntry:
    """A registered task: its recipe's type, and what builds it from a recipe and the data's root."""

    name: str
    recipe: type[Recipe]
    build: Callable[[Any, Path], Task]


TASKS: Registry[TaskEntry] = Registry("task", "crossband.*.task", "crossband.*.tasks")


def register_task(name: str, recipe: type[Recipe]) -> Callable[[type[Task]], type[Task]]:
    """Register the decorated class, made from a recipe and a folder, as a task.

    A task is found in the module ``task`` of its domain, or in a module of the domain's package ``tasks``.
    """
    return TASKS.register(name, lambda kind: TaskEntry(name, recipe, kind))


def find_task(name: str) -> TaskEntry:
    """Return the task called ``name``.

    Raises:
        UnknownNameError: there is none.
    """
    return TASKS.get(name)
