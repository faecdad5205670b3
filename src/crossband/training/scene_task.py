"""What tasks on whole frames share: one part to train on, one to select on, named parts to measure."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from ..data.items import check_apart, usable_part
from ..data.parts import MOST_MB, Factor, Part, Splits
from ..data.scenes import Scenes
from ..errors import CrossbandError
from .recipe import Recipe
from .task import Task

__all__ = ["SceneData", "SceneRecipe", "SceneTask"]


class SceneData(Splits[Part]):
    """Which frames, and which crops of them.

    Attributes:
        train: frames to learn from.
        val: frames that choose the checkpoint.
        test: named parts that are only ever measured.
        size: side of the square crops that are learned from, pixels.
        scales: least and most pixels of a crop for one of the frame.
        turns: whether crops are turned by quarters (detection only; the other tasks always do).
        crops: crops of each frame in an epoch.
        cache_mb: memory for decoded images.
    """

    size: int = Field(default=256, ge=16, le=8192)
    scales: tuple[Factor, Factor] = (1.0, 1.0)
    turns: bool = True
    crops: int = Field(default=1, ge=1, le=10_000)
    cache_mb: int = Field(default=0, ge=0, le=MOST_MB)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 0 < self.scales[0] <= self.scales[1]:
            raise CrossbandError(f"data.scales takes the smallest and the largest, not {self.scales}")
        return self


class SceneRecipe(Recipe):
    """A recipe of a task on whole frames."""

    data: SceneData


class SceneTask(Task):
    """A task that learns from crops of frames, each frame ``data.crops`` times per epoch."""

    recipe: SceneRecipe
    needs: tuple[str, ...] = ()
    """Columns that every part has to have."""

    def __init__(self, recipe: SceneRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        self.train = self._scenes(recipe.data.train)
        self._val: Scenes | None = None

    def _scenes(self, part: Part) -> Scenes:
        frames = usable_part(part, self._root)
        Scenes(frames).need(*self.needs)
        whole = frames.table[list(self.needs)].notna().all(axis=1).to_numpy(bool)
        if not whole.any():
            raise CrossbandError(f"no frame of {part.frames} has all of {', '.join(self.needs)}")
        return Scenes(frames.select(whole), self.recipe.data.cache_mb)

    @property
    def val(self) -> Scenes:
        """The frames that choose the checkpoint."""
        if self._val is None:
            self._val = self._scenes(self.recipe.data.val)
        return self._val

    def check(self) -> None:
        """Check that val shares no image with a test part that is here."""
        check_apart(self.recipe.data, self._root, [band.value for band in self.val.frames.bands])

    def samples(self, epoch: int) -> np.ndarray:
        """Draw frames in random order."""
        rng = np.random.default_rng([self.recipe.seed, 11, epoch])
        return rng.permutation(np.repeat(np.arange(len(self.train)), self.recipe.data.crops))[:, None]

    def images_in(self, sample: np.ndarray) -> list[str]:
        """Return the frame's name."""
        return [self.train.frames.names[int(row)] for row in sample]

    def validate(self) -> dict[str, float]:
        """Score on val."""
        return {f"val/{name}": value for name, value in self.score(self.val).items() if _is_number(value)}

    def test(self) -> dict[str, dict[str, Any]]:
        """Score on each test part."""
        return {name: self.score(self._scenes(part)) for name, part in self.recipe.data.test.items()}

    @abc.abstractmethod
    def score(self, scenes: Scenes) -> dict[str, Any]:
        """Score the network on some frames."""

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.network.parameters()).device

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Put the network in evaluation, without gradients, in the run's precision; afterwards as it was."""
        training, precision = self.network.training, self.precision
        kind = torch.float16 if precision == "16-mixed" else torch.bfloat16
        self.network.eval()
        with torch.inference_mode(), torch.autocast(self.device.type, kind, enabled=precision != "32-true"):
            yield
        self.network.train(training)


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int)
