"""The task ``labeling``: classes of the ground and of what stands on it, of one color or thermal image.

Kniaz, SPIE 10789, 2018; see :mod:`crossband.models.geo_gan`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from ...data.parts import Label, Name, Strict
from ...data.scenes import Crop, Scenes, resized, zoomed
from ...losses.adversarial import adversarial_loss
from ...models.encoder_labeler import EncoderLabeler
from ...models.geo_gan import GeoGAN
from ...nn.unet import PatchGAN
from ...progress import track
from ...training.scene_task import SceneRecipe, SceneTask
from ...training.task import register_task
from ..ground_classes import LABELS, UNKNOWN, label_table

__all__ = [
    "LabelingLoss",
    "LabelingModel",
    "LabelingRecipe",
    "LabelingTask",
    "build_labeler",
    "confusion",
    "mean_iou",
]


class LabelingModel(Strict):
    """The network: GeoGAN's generator, or an ImageNet encoder with a top-down path.

    Attributes:
        band: what is labeled, ``rgb`` or ``tir``.
        zoom: how much images are enlarged before; crops (``data.scales``) should be about as much.
        encoder: a registered encoder, for :class:`crossband.models.encoder_labeler.EncoderLabeler`; without,
            :class:`crossband.models.geo_gan.GeoGAN` learns from nothing.
        width: channels of the first scale, or of the top-down path.
        depth: GeoGAN: scales.
        dropout: GeoGAN: of the deepest layers.
    """

    encoder: Name | None = None
    band: Literal["rgb", "tir"] = "tir"
    zoom: float = Field(default=1.0, gt=0, le=4)
    width: int = Field(default=64, ge=1, le=4096)
    depth: int = Field(default=8, ge=1, le=12)
    dropout: float = Field(default=0.5, ge=0, lt=1)


class LabelingLoss(Strict):
    """The losses.

    Attributes:
        classes: weight of the cross-entropy.
        adversarial: weight of the adversarial loss; 0 leaves the discriminator out.
        width: channels of the discriminator's first layer.
        layers: its convolutions of stride 2.
    """

    classes: float = Field(default=10.0, gt=0, le=1e6)
    adversarial: float = Field(default=1.0, ge=0, le=1e6)
    width: int = Field(default=64, ge=1, le=4096)
    layers: int = Field(default=3, ge=1, le=10)


class LabelingRecipe(SceneRecipe):
    """A recipe of the task ``labeling``.

    Attributes:
        classes: name -> number in the frames' column ``semantic``; the city's by default.
    """

    model: LabelingModel = LabelingModel()
    loss: LabelingLoss = LabelingLoss()
    classes: dict[Name, Label] = Field(default_factory=lambda: _city_classes())


def _city_classes() -> dict[str, int]:
    from ...simulation.meshes import Kind

    return {kind.name.lower(): int(kind) for kind in Kind}


@register_task("labeling", LabelingRecipe)
class LabelingTask(SceneTask):
    """Trains a labeling network."""

    recipe: LabelingRecipe
    network: GeoGAN | EncoderLabeler
    monitor = "val/miou"
    divides = True
    reaches_all = False  # what judges pictures does not learn with every recipe
    shown = ("miou", "accuracy", "iou/*")

    def __init__(self, recipe: LabelingRecipe, root: Path) -> None:
        self.needs = (recipe.model.band, "semantic")
        super().__init__(recipe, root)
        self.network = build_labeler(recipe.model, pretrained=True)
        channels = 3 if recipe.model.band == "rgb" else 1
        self.criterion: nn.Module = PatchGAN(channels + len(LABELS), recipe.loss.width, recipe.loss.layers)
        self._table = label_table(recipe.classes)

    def _image(self, scenes: Scenes, row: int) -> torch.Tensor:
        return scenes.color(row) if self.recipe.model.band == "rgb" else scenes.thermal(row)

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Return ``image`` ``(1 or 3, s, s)`` and ``labels`` int64 ``(s, s)``."""
        row, data = int(sample[0]), self.recipe.data
        image = self._image(self.train, row)
        crop = Crop.draw(image.shape, data.size, data.scales, generator)
        return {"image": crop(image), "labels": crop(self.train.integers(row, "semantic", self._table))}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute cross entropy of the known pixels, and the two players' losses."""
        scores, labels = self.network(batch["image"]), batch["labels"]
        loss = self.recipe.loss
        total = loss.classes * F.cross_entropy(scores, labels, ignore_index=UNKNOWN)
        if loss.adversarial:
            known = (labels != UNKNOWN)[:, None]
            real = F.one_hot(labels.where(known[:, 0], 0), len(LABELS)).permute(0, 3, 1, 2).to(scores.dtype)
            made = scores.softmax(1)
            fool, judged = adversarial_loss(self.criterion, batch["image"], made * known, real * known)
            total = total + loss.adversarial * fool + judged
        return total

    def score(self, scenes: Scenes) -> dict[str, Any]:
        """Compute mean IoU over the classes that occur, each class's own, and accuracy, percent."""
        matrix = np.zeros((len(LABELS), len(LABELS)), np.int64)
        with self.measuring():
            for row in track(range(len(scenes)), len(scenes), "labeling", "frames"):
                image, truth = self._image(scenes, row), scenes.integers(row, "semantic", self._table).numpy()
                small = self.network.label(zoomed(image, self.recipe.model.zoom)[None].to(self.device))[0]
                found = resized(small.cpu(), truth.shape).numpy()
                matrix += confusion(truth, found, len(LABELS))
        iou = mean_iou(matrix)
        return {
            "miou": 100 * float(np.nanmean(iou)),
            "accuracy": 100 * float(np.trace(matrix) / max(matrix.sum(), 1)),
            "iou": {name: None if np.isnan(v) else 100 * float(v) for name, v in zip(LABELS, iou, strict=True)},
            "n_frames": len(scenes),
        }


def build_labeler(model: LabelingModel, pretrained: bool) -> GeoGAN | EncoderLabeler:
    """Build the network of a recipe; not ``pretrained`` for one whose weights are to be loaded."""
    if model.encoder is not None:
        return EncoderLabeler(model.band, len(LABELS), model.encoder, model.width, pretrained)
    return GeoGAN(3 if model.band == "rgb" else 1, len(LABELS), model.width, model.depth, model.dropout)


def confusion(truth: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by class, int64 ``(classes, classes)``: rows are the truth.

    Pixels of unknown truth are ignored.

    Example:
        >>> confusion(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    known = truth < classes
    code = truth[known].astype(np.int64) * classes + found[known]
    return np.bincount(code, minlength=classes**2).reshape(classes, classes)


def mean_iou(matrix: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of each class, float64 in [0, 1].

    It is NaN where neither truth nor answer has the class. One matrix is of the whole set.

    Example:
        >>> mean_iou(np.array([[1, 1], [0, 2]])).round(2).tolist()
        [0.5, 0.67]
    """
    right = np.diag(matrix).astype(float)
    union = matrix.sum(0) + matrix.sum(1) - right
    with np.errstate(invalid="ignore"):
        return right / union
