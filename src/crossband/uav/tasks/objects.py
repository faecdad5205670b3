"""The task ``objects``: a vector of an object's crop, alike in color and in the thermal: the paper's
baselines.

The ThermalReID paper (ISPRS Archives XLIV-2/W1-2021), section 4.2, compares with two, which it describes in a
sentence each:

- **VRAI** (Wang et al., ICCV 2019): a ResNet-50 on the boxes of a YOLO detector; identities by softmax, and a
  triplet loss.
- **BoT-BS** ("strong baseline with a bag of tricks", Luo et al., CVPR Workshops 2019): that, and warm-up,
  random erasing, label smoothing, a last stride of 1, a batch normalization neck, and a center loss.

A sample is one object: its crop in color from one frame, and its crop in the thermal from another of the same
flight.
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
from ...data.scenes import Scenes, sides_of
from ...errors import CrossbandError
from ...losses import triplet_loss
from ...models import create_encoder
from ...nn.encoder import Encoder
from ...progress import track
from ...training.scene_task import SceneRecipe, SceneTask
from ...training.task import register_task
from ..evaluation import Crops, object_crops, score_crops

__all__ = ["ObjectLoss", "ObjectModel", "ObjectNetwork", "ObjectRecipe", "ObjectTask", "keep_resolution"]


class ObjectModel(Strict):
    """The network.

    Attributes:
        encoder: a registered encoder.
        layer: where it is cut; its last map by default.
        pretrained: whether it starts from its ImageNet weights.
        neck: a batch normalization between the vector of the triplet loss and that of the classes; the latter
            is the one that is compared.
        last_stride: 1 keeps the resolution of the last stage of a ResNet.
        size: side of a crop, pixels.
    """

    encoder: Name = "resnet50"
    layer: Name | None = None
    pretrained: bool = True
    neck: bool = False
    last_stride: int = Field(default=2, ge=1, le=2)
    size: int = Field(default=128, ge=16, le=8192)


class ObjectLoss(Strict):
    """The losses.

    Attributes:
        margin: of the triplet loss, hardest of the batch.
        smoothing: of the labels.
        center: weight of the center loss; 0 for none.
        erasing: share of the crops of which a part is erased.
    """

    margin: float = Field(default=0.3, gt=0, le=1e6)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    center: float = Field(default=0.0, ge=0, le=1e6)
    erasing: float = Field(default=0.0, ge=0, le=1)


class ObjectRecipe(SceneRecipe):
    """A recipe of the task ``objects``."""

    model: ObjectModel = ObjectModel()
    loss: ObjectLoss = ObjectLoss()


class ObjectNetwork(nn.Module):
    """Crops to vectors; see :class:`ObjectModel`."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, encoder: Encoder, layer: str, neck: bool, size: int) -> None:
        super().__init__()
        self.encoder, self.layer = encoder.requires_grad_(True), layer
        with torch.inference_mode():
            self.dim = int(encoder.eval()(torch.zeros(1, 3, size, size), layer).shape[1])
        self.neck: nn.Module = nn.BatchNorm1d(self.dim) if neck else nn.Identity()
        mean, std = (torch.tensor(v)[:, None, None] for v in (encoder.statistics.mean, encoder.statistics.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def both(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors before and after the neck, ``(N, dim)`` each, of crops ``(N, 3, s, s)``."""
        pooled = self.encoder((crops - self.mean) / self.std, self.layer).mean((-2, -1))
        return pooled, self.neck(pooled)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return unit vectors to compare."""
        return F.normalize(self.both(crops)[1])


class _Classes(nn.Module):
    """The classifier, and the centers of the center loss (Wen et al., ECCV 2016)."""

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dim, count, bias=False)
        self.centers = nn.Parameter(torch.zeros(count, dim))


@register_task("objects", ObjectRecipe)
class ObjectTask(SceneTask):
    """Trains an :class:`ObjectNetwork` on objects with boxes and instances."""

    recipe: ObjectRecipe
    network: ObjectNetwork
    criterion: _Classes
    needs = ("rgb", "tir", "boxes", "sequence")
    monitor = "val/nauc"
    shown = ("nauc", "cmc/*")

    def __init__(self, recipe: ObjectRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        model = recipe.model
        encoder = create_encoder(model.encoder, pretrained=model.pretrained)
        self.weights_digest = encoder.digest
        if model.last_stride == 1:
            keep_resolution(encoder)
        self.network = ObjectNetwork(encoder, encoder.check_layer(model.layer), model.neck, model.size)
        self._objects = _seen_twice(self.train)
        self.criterion = _Classes(self.network.dim, len(self._objects))

    def samples(self, epoch: int) -> np.ndarray:
        """Return objects in random order, each ``data.crops`` times."""
        rng = np.random.default_rng([self.recipe.seed, 11, epoch])
        return rng.permutation(np.repeat(np.arange(len(self._objects)), self.recipe.data.crops))[:, None]

    def images_in(self, sample: np.ndarray) -> list[str]:
        """Return the frames that show the object."""
        return [self.train.frames.names[row] for row, _ in self._objects[int(sample[0])]]

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Return ``crops`` ``(2, 3, s, s)``, color and thermal, and the object's ``number``."""
        seen = self._objects[int(sample[0])]
        first, second = torch.randperm(len(seen), generator=generator)[:2].tolist()
        crops = (
            object_crops(self.train, [seen[first]], "rgb", self.recipe.model.size),
            object_crops(self.train, [seen[second]], "tir", self.recipe.model.size),
        )
        pair = torch.cat(crops)
        if float(torch.rand((), generator=generator)) < 0.5:
            pair = pair.flip(-1)
        pair = torch.rot90(pair, int(torch.randint(4, (), generator=generator)), (-2, -1)).clone()
        for crop in pair:
            if float(torch.rand((), generator=generator)) < self.recipe.loss.erasing:
                _erase(crop, generator)
        return {"crops": pair, "number": torch.tensor(int(sample[0]))}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute softmax over identities, hardest triplets across the bands both ways, and center loss."""
        crops, number, loss = batch["crops"], batch["number"], self.recipe.loss
        before, after = (v.unflatten(0, crops.shape[:2]) for v in self.network.both(crops.flatten(0, 1)))
        scores = self.criterion.classifier(after.flatten(0, 1))
        total = F.cross_entropy(scores, number.repeat_interleave(2), label_smoothing=loss.smoothing)
        unit = F.normalize(before, dim=-1)
        for mine, other in ((0, 1), (1, 0)):
            distances = torch.cdist(unit[:, mine], unit[:, other])
            same = number[:, None] == number[None]
            if not same.all():
                hardest = distances.masked_fill(same, torch.inf).argmin(1)
                total = total + triplet_loss(
                    unit[:, mine], unit[:, other][:, None], unit[hardest, other][:, None], loss.margin
                )
        if loss.center:
            off = before - self.criterion.centers[number][:, None]
            total = total + loss.center * off.square().sum(-1).mean() / 2
        return total

    def metadata(self) -> dict[str, Any]:
        """Return the encoder's weights."""
        return {"weights": self.weights_digest}

    def score(self, scenes: Scenes) -> dict[str, Any]:
        """Compute CMC and nAUC of color crops among the thermal ones of their flight.

        See :mod:`crossband.uav.evaluation`.
        """
        return score_crops(scenes, self.describe).to_dict()

    def describe(self, scenes: Scenes, where: Crops, band: str) -> np.ndarray:
        """Compute unit vectors of crops, float32 ``(n, dim)``."""
        vectors = []
        with self.measuring():
            for start in track(range(0, len(where), 32), -(-len(where) // 32), "describing", "batches"):
                crops = object_crops(scenes, where[start : start + 32], band, self.recipe.model.size)
                vectors.append(self.network(crops.to(self.device)).float().cpu().numpy())
        return np.concatenate(vectors)


def _seen_twice(scenes: Scenes) -> list[list[tuple[int, int]]]:
    """Where each object is seen (frame and box), of those that two frames of a flight show."""
    seen: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for row, (boxes, sequence) in enumerate(zip(scenes.boxes, scenes.frames.table["sequence"], strict=True)):
        for number, box in enumerate(boxes):
            if min(sides_of(box)) >= 6:
                seen.setdefault((sequence, int(box[5])), []).append((row, number))
    found = [where for where in seen.values() if len({row for row, _ in where}) > 1]
    if not found:
        raise CrossbandError("no object appears in two frames of a flight, so there is nothing to learn")
    return found


def keep_resolution(encoder: Encoder) -> None:
    """Take the stride from the last stage of a ResNet.

    Raises:
        CrossbandError: it is none.
    """
    stages = [module for name, module in encoder.named_modules() if name.rpartition(".")[2] == "layer4"]
    if not stages:
        raise CrossbandError("model.last_stride 1 is for ResNets; this encoder has no layer4")
    for module in stages[0].modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)


def _erase(crop: torch.Tensor, generator: torch.Generator) -> None:
    """Zhong et al., "Random Erasing Data Augmentation", AAAI 2020: a rectangle of noise."""
    side = crop.shape[-1]
    height, width = (
        max(1, int(side * (0.15 + 0.35 * float(torch.rand((), generator=generator))))) for _ in "hw"
    )
    top = int(torch.randint(side - height + 1, (), generator=generator))
    left = int(torch.randint(side - width + 1, (), generator=generator))
    noise = torch.rand(crop.shape[0], height, width, generator=generator)
    crop[:, top : top + height, left : left + width] = noise
