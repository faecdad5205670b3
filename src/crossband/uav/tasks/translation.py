"""The task ``translation``: color to thermal, by both stages of ThermalGAN.

Kniaz et al., ECCV Workshops 2018; see :mod:`crossband.models.thermal_gan`. Each stage has its L1 and its
adversarial loss, as pix2pix; the first is compared with the mean temperature of each object, the second with
the thermal image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from ...data.parts import Name, Strict
from ...data.scenes import Crop, Scenes, means_by_object, middle_of
from ...losses.adversarial import adversarial_loss
from ...models.encoder_translator import EncoderTranslator
from ...models.thermal_gan import ThermalGAN, Translator
from ...nn.unet import PatchGAN
from ...progress import track
from ...training.scene_task import SceneRecipe, SceneTask
from ...training.task import register_task

__all__ = [
    "TranslationLoss",
    "TranslationModel",
    "TranslationRecipe",
    "TranslationTask",
    "build_translator",
    "score_frame",
]


class TranslationModel(Strict):
    """The generators; see :class:`crossband.models.thermal_gan.ThermalGAN`.

    Attributes:
        encoder: a registered encoder, for :class:`crossband.models.encoder_translator.EncoderTranslator`;
            without, :class:`crossband.models.thermal_gan.ThermalGAN` learns from nothing.
        width: channels of the first scale, or of the top-down path.
        depth: ThermalGAN: scales.
        span: kelvin that an object may differ from ambient.
        contrast: kelvin that a pixel may differ from its object.
        dropout: ThermalGAN: of the deepest layers.
    """

    encoder: Name | None = None
    width: int = Field(default=64, ge=1, le=4096)
    depth: int = Field(default=8, ge=1, le=12)
    span: float = Field(default=40.0, gt=0, le=1e4)
    contrast: float = Field(default=30.0, gt=0, le=1e4)
    dropout: float = Field(default=0.5, ge=0, lt=1)


class TranslationLoss(Strict):
    """The losses.

    Attributes:
        l1: weight of the L1 loss, in units of ``span``; 100 in pix2pix.
        adversarial: weight of the adversarial loss; 0 leaves the discriminators out.
        width: channels of the discriminators' first layer.
        layers: their convolutions of stride 2.
        objects: share of the crops that are taken around an object with a box.
        object_weight: how much more a pixel of such an object counts in the L1 loss.
    """

    l1: float = Field(default=100.0, ge=0, le=1e6)
    adversarial: float = Field(default=1.0, ge=0, le=1e6)
    width: int = Field(default=64, ge=1, le=4096)
    layers: int = Field(default=3, ge=1, le=10)
    objects: float = Field(default=0.0, ge=0, le=1)
    object_weight: float = Field(default=1.0, ge=1, le=1e6)


class TranslationRecipe(SceneRecipe):
    """A recipe of the task ``translation``."""

    model: TranslationModel = TranslationModel()
    loss: TranslationLoss = TranslationLoss()


class _Criterion(nn.Module):
    """The discriminator of each stage; it sees the color image and a temperature relative to ambient."""

    def __init__(self, recipe: TranslationLoss) -> None:
        super().__init__()
        self.recipe = recipe
        self.judges = nn.ModuleList(PatchGAN(4, recipe.width, recipe.layers) for _ in range(2))

    def forward(
        self, images: torch.Tensor, made: list[torch.Tensor], real: list[torch.Tensor], weight: torch.Tensor
    ) -> torch.Tensor:
        total = images.new_zeros(())
        for judge, guess, truth in zip(self.judges, made, real, strict=True):
            total = total + self.recipe.l1 * ((guess - truth).abs() * weight).mean()
            if self.recipe.adversarial:
                fool, judged = adversarial_loss(judge, 2 * images - 1, guess, truth)
                total = total + self.recipe.adversarial * fool + judged
        return total


@register_task("translation", TranslationRecipe)
class TranslationTask(SceneTask):
    """Trains a :class:`~crossband.models.thermal_gan.ThermalGAN`, or its like with an encoder.

    The frames have color, temperatures, classes and instances.
    """

    recipe: TranslationRecipe
    network: Translator
    criterion: _Criterion
    needs = ("rgb", "tir", "semantic", "instances", "boxes")
    monitor = "val/minus_kelvin"
    divides = True
    reaches_all = False  # what judges pictures does not learn with every recipe
    shown, unit = ("kelvin*",), "kelvin"

    def __init__(self, recipe: TranslationRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        self.network = build_translator(recipe.model)
        self.criterion = _Criterion(recipe.loss)

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Read ``rgb`` ``(3, s, s)``, ``objects``, ``kelvin`` and ``moving`` ``(1, s, s)``, and ``ambient``."""
        row, scenes, data = int(sample[0]), self.train, self.recipe.data
        boxes = scenes.boxes[row]
        around = None
        if len(boxes) and float(torch.rand((), generator=generator)) < self.recipe.loss.objects:
            around = middle_of(boxes[int(torch.randint(len(boxes), (), generator=generator))])
        kelvin = scenes.kelvin(row)
        crop = Crop.draw(kelvin.shape, data.size, data.scales, generator, around)
        segments = means_by_object(kelvin, *(scenes.integers(row, name) for name in ("instances", "semantic")))
        return {
            "rgb": crop(scenes.color(row)),
            "kelvin": crop(kelvin),
            "objects": crop(segments),
            "moving": crop(_moving(scenes, row)),
            "ambient": torch.tensor(scenes.ambient(row)),
        }

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the sum over both stages, for one optimizer; see :mod:`crossband.losses.adversarial`."""
        made = self.network(batch["rgb"], batch["ambient"])
        level, span = batch["ambient"][:, None, None, None], self.network.span
        pairs = [(made.segmentation, batch["objects"]), (made.thermal, batch["kelvin"])]
        relative = [[(image - level) / span for image in pair] for pair in pairs]
        weight = 1 + (self.recipe.loss.object_weight - 1) * batch["moving"]
        return self.criterion(batch["rgb"], [a for a, _ in relative], [b for _, b in relative], weight)

    def metadata(self) -> dict[str, Any]:
        """Return the encoder's weights, if it has one."""
        return {"weights": getattr(self.network, "weights_digest", None)}

    def score(self, scenes: Scenes) -> dict[str, Any]:
        """Compute errors in kelvin over all pixels and over objects with boxes, and SSIM.

        ``kelvin_segmentation`` is of the first stage against the objects' means; ``kelvin_constant`` is the
        error of the ambient temperature itself, and ``kelvin_means_objects`` that of each object's true mean
        temperature, for comparison; ``minus_kelvin`` is the objects' error with
        its sign changed, so that more is better.
        """
        found: list[dict[str, float]] = []
        with self.measuring():
            for row in track(range(len(scenes)), len(scenes), "translating", "frames"):
                found.append(score_frame(self.network, scenes, row))
        means = {
            name: float(np.nanmean([frame[name] for frame in found])) if found else float("nan")
            for name in found[0]
        }
        return {**means, "minus_kelvin": -means["kelvin_objects"], "n_frames": len(scenes)}


def score_frame(network: Translator, scenes: Scenes, row: int) -> dict[str, float]:
    """Compare a frame's translation with its thermal image; see :meth:`TranslationTask.score`."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    device = next(network.parameters()).device
    kelvin, ambient = scenes.kelvin(row), scenes.ambient(row)
    made = network(scenes.color(row)[None].to(device), torch.tensor([ambient], device=device))
    thermal, segments = made.thermal[0].float().cpu(), made.segmentation[0].float().cpu()
    truth = means_by_object(kelvin, *(scenes.integers(row, name) for name in ("instances", "semantic")))
    moving = _moving(scenes, row) > 0
    span = float(kelvin.max() - kelvin.min())
    return {
        "kelvin": float(F.l1_loss(thermal, kelvin)),
        "kelvin_objects": float((thermal - kelvin)[moving].abs().mean()),
        "kelvin_segmentation": float(F.l1_loss(segments, truth)),
        "kelvin_constant": float((kelvin - ambient).abs().mean()),
        "kelvin_constant_objects": float((kelvin - ambient)[moving].abs().mean()),
        "kelvin_means_objects": float((kelvin - truth)[moving].abs().mean()),
        # in double precision: of values about 290 that differ by tenths, float32 leaves no variance
        "ssim": float(ssim(thermal[None].double(), kelvin[None].double(), data_range=span)),  # type: ignore[arg-type]
    }


def build_translator(model: TranslationModel, pretrained: bool = True) -> Translator:
    """Build the network of a recipe.

    Args:
        model: of the recipe.
        pretrained: ``False`` for one whose weights are to be loaded.
    """
    if model.encoder is None:
        return ThermalGAN(model.width, model.depth, model.span, model.contrast, model.dropout)
    return EncoderTranslator(model.encoder, model.width, model.span, model.contrast, pretrained)


def _moving(scenes: Scenes, row: int) -> torch.Tensor:
    """Pixels of objects that have boxes, float32 ``(1, H, W)``."""
    instances = [int(number) for number in scenes.boxes[row][:, 5]]
    return torch.isin(scenes.integers(row, "instances"), torch.tensor(instances or [-1])).float()[None]
