"""The task ``objects``: a vector of an object's crop, alike in color and in the thermal: the paper's
baselines.

The ThermalReID paper (ISPRS Archives XLIV-2/W1-2021), section 4.2, compares with two, which it describes in a
sentence each:

- **VRAI** (Wang et al., ICCV 2019): a ResNet-50 on the boxes of a YOLO detector; identities by softmax, and a
  triplet loss; with ``model.parts`` the same for a second vector, in which the parts that a detector of its own
  finds weigh more (:mod:`crossband.uav.object_parts`).
- **BoT-BS** ("strong baseline with a bag of tricks", Luo et al., CVPR Workshops 2019): that, and warm-up,
  random erasing, label smoothing, a last stride of 1, a batch normalization neck, and a center loss.

A sample is one object: its crop in color from one frame, and its crop in the thermal from another of the same
flight, or of another hour of the same ``day`` where the frames say which that is: what is parked is still
there. ``loss.contrast`` compares across the bands and among the objects of a flight: of all thermal crops of a
batch, most of them of one day, the color crop's own has to be the nearest, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional as F

from ...data.parts import Name, Strict
from ...data.scenes import Scenes, middle_of, sides_of
from ...errors import CrossbandError
from ...losses import paired_contrastive_loss, triplet_loss
from ...losses.center import center_loss
from ...metrics.detection import score_detections
from ...models import create_encoder
from ...models.center_detector import CenterDetector
from ...models.pair_descriptor import trim
from ...nn.encoder import Encoder
from ...nn.layers import grid_means
from ...progress import track
from ...training.scene_task import SceneRecipe, SceneTask
from ...training.task import register_task
from ..evaluation import Crops, band_image, in_the_dark, object_crops, score_crops
from ..object_descriptor import MARGIN, crop_around
from ..object_parts import PartBranch, PartReader, parts_in_crop

__all__ = [
    "Describer",
    "ObjectLoss",
    "ObjectModel",
    "ObjectNetwork",
    "ObjectParts",
    "ObjectRecipe",
    "ObjectTask",
    "build_object_network",
    "keep_resolution",
]

_LEAST_CONTRAST = 0.01  # about a kelvin: below it a thermal crop is noise
_LEAST = 6  # pixels of the shorter side of a box that is learned from


class ObjectParts(Strict):
    """The branch of the parts, and their detector.

    Attributes:
        source: where training knows parts from: ``column``, boxes in the files of a column ``parts``; or
            ``temperature``, what is warmer or colder than the object that ``instances`` outline.
        kelvin: ``temperature``: how much, at least.
        weight: of a position inside a part; 1 outside.
        least: score of a part that counts.
        encoder: of the detector, a registered encoder with four stages.
        width: channels of the detector's top-down path.
        pretrained: whether the detector starts from its ImageNet weights.
    """

    source: Literal["column", "temperature"] = "column"
    kelvin: float = Field(default=3.0, gt=0, le=1e3)
    weight: float = Field(default=3.0, ge=1, le=1e3)
    least: float = Field(default=0.3, gt=0, lt=1)
    encoder: Name = "efficientnet_lite0"
    width: int = Field(default=32, ge=2, le=4096)
    pretrained: bool = True


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
        grid: cells a side that the last map is averaged over; a vector holds all cells, so it knows where in an
            object something is.
        margin: of a box's longer side, that a crop shows more on each side.
        normalization: what a crop is standardized by: the encoder's ``expected`` statistics, or its ``own``
            mean and deviation, by which a car hardly warmer than the road is as plain as one in color.
        parts: a second vector, in which the object's parts weigh more; none by default.
    """

    encoder: Name = "resnet50"
    layer: Name | None = None
    pretrained: bool = True
    neck: bool = False
    last_stride: int = Field(default=2, ge=1, le=2)
    size: int = Field(default=128, ge=16, le=8192)
    grid: int = Field(default=1, ge=1, le=16)
    margin: float = Field(default=MARGIN, ge=0, le=4)
    normalization: Literal["expected", "own"] = "expected"
    parts: ObjectParts | None = None


class ObjectLoss(Strict):
    """The losses.

    Attributes:
        classes: weight of the softmax over identities.
        triplet: weight of the triplet loss, hardest of the batch.
        margin: of the triplet loss.
        contrast: weight of the contrast across the bands (van den Oord et al., "Representation Learning with
            Contrastive Predictive Coding", 2018: InfoNCE); with it batches are of the objects of a day.
        temperature: of the contrast.
        jitter: how much boxes are moved and scaled while training, of their sides; a detector's are not exact.
        light: strength of random gain and offset of each crop.
        bare: share of the pairs that show the object alone, as ``MARGIN`` does: photographs may show no more.
        place: share of the pairs that show twice ``model.margin`` around it: where it is.
        smoothing: of the labels.
        center: weight of the center loss; 0 for none.
        erasing: share of the crops of which a part is erased.
    """

    classes: float = Field(default=1.0, ge=0, le=1e6)
    triplet: float = Field(default=1.0, ge=0, le=1e6)
    margin: float = Field(default=0.3, gt=0, le=1e6)
    contrast: float = Field(default=0.0, ge=0, le=1e6)
    temperature: float = Field(default=0.07, gt=0, le=100)
    jitter: float = Field(default=0.0, ge=0, le=0.5)
    light: float = Field(default=0.0, ge=0, le=1)
    bare: float = Field(default=0.0, ge=0, le=1)
    place: float = Field(default=0.0, ge=0, le=1)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    center: float = Field(default=0.0, ge=0, le=1e6)
    erasing: float = Field(default=0.0, ge=0, le=1)


class ObjectRecipe(SceneRecipe):
    """A recipe of the task ``objects``."""

    model: ObjectModel = ObjectModel()
    loss: ObjectLoss = ObjectLoss()

    @model_validator(mode="after")
    def _learns(self) -> Self:
        loss = self.loss
        if loss.bare + loss.place > 1:
            raise CrossbandError("loss.bare and loss.place are shares of all pairs: together at most 1")
        if not (loss.classes or loss.triplet or loss.contrast):
            raise CrossbandError("one of loss.classes, loss.triplet and loss.contrast has to be above 0")
        if self.model.parts is not None and not loss.classes:
            raise CrossbandError("model.parts learns by identities: loss.classes has to be above 0")
        return self


class ObjectNetwork(nn.Module):
    """Crops to vectors; see :class:`ObjectModel`.

    Attributes:
        dim: of a vector: of the whole object, and with parts of theirs as well.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        encoder: Encoder,
        layer: str,
        neck: bool,
        size: int,
        grid: int = 1,
        own_statistics: bool = False,
        parts: ObjectParts | None = None,
        detector: CenterDetector | None = None,
    ) -> None:
        super().__init__()
        encoder, _ = trim(encoder.eval(), layer, (size, size))
        self.encoder, self.layer, self.grid = encoder.requires_grad_(True), layer, grid
        self.own_statistics = own_statistics
        self.register_load_state_dict_pre_hook(_without_what_is_never_read)
        with torch.inference_mode():
            self.dim = int(encoder.eval()(torch.zeros(1, 3, size, size), layer).shape[1]) * grid * grid
        self.neck: nn.Module = nn.BatchNorm1d(self.dim) if neck else nn.Identity()
        self.parts: PartBranch | None = None
        if parts is not None and detector is not None:
            own = nn.BatchNorm1d(self.dim) if neck else nn.Identity()
            self.parts = PartBranch(detector, own, parts.weight, parts.least)
        mean, std = (torch.tensor(v)[:, None, None] for v in (encoder.statistics.mean, encoder.statistics.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def vectors(
        self, crops: torch.Tensor, parts: torch.Tensor | None = None
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the vectors before and after the neck, ``(N, dim)`` each: of the whole, and of the parts.

        Args:
            crops: ``(N, 3, s, s)``.
            parts: their true parts ``(N, n, 4)``, pixels of the crop; detected without.
        """
        mean, std = self.mean, self.std
        if self.own_statistics:
            mean = crops.mean((1, 2, 3), keepdim=True)
            std = crops.std((1, 2, 3), keepdim=True).clamp(min=_LEAST_CONTRAST)
        maps = self.encoder((crops - mean) / std, self.layer)
        pooled = grid_means(maps, self.grid, self.grid).flatten(1)
        found = [(pooled, self.neck(pooled))]
        if self.parts is not None:
            weighted = self.parts(maps, crops, parts)
            found.append((weighted, self.parts.neck(weighted)))
        return found

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return unit vectors to compare."""
        after = [vector for _, vector in self.vectors(crops)]
        if len(after) > 1:
            after = [torch.cat([F.normalize(vector) for vector in after], 1)]
        return F.normalize(after[0])


def _without_what_is_never_read(network: ObjectNetwork, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take weights from before encoders were cut behind their layer."""
    mine = network.state_dict()
    for name in [name for name in state if name.startswith(f"{prefix}encoder.")]:
        if name.removeprefix(prefix) not in mine:
            del state[name]


def build_object_network(model: ObjectModel, pretrained: bool = True) -> ObjectNetwork:
    """Build the network of a recipe.

    Args:
        model: of the recipe.
        pretrained: ``False`` for one whose weights are to be loaded.

    Raises:
        CrossbandError: an encoder that does not fit, or missing weights.
    """
    encoder = create_encoder(model.encoder, pretrained=pretrained and model.pretrained)
    if model.last_stride == 1:
        keep_resolution(encoder)
    parts, detector = model.parts, None
    if parts is not None:
        detector = CenterDetector(1, parts.encoder, parts.width, 0, pretrained and parts.pretrained)
    if parts is not None and model.grid > 1:
        raise CrossbandError("model.grid above 1 and model.parts do not go together", parameter="model.grid")
    layer = encoder.check_layer(model.layer)
    own = model.normalization == "own"
    return ObjectNetwork(encoder, layer, model.neck, model.size, model.grid, own, parts, detector)


class _Classes(nn.Module):
    """The classifier, and the centers of the center loss (Wen et al., ECCV 2016)."""

    def __init__(self, dim: int, count: int, parts: bool, centers: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dim, count, bias=False) if count else nn.Identity()
        self.of_parts = nn.Linear(dim, count, bias=False) if parts else None
        self.centers = nn.Parameter(torch.zeros(centers, dim)) if centers else None


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
        self.network = build_object_network(recipe.model)
        self.weights_digest = self.network.encoder.digest
        self._objects = _seen_twice(self.train)
        self._days = np.unique([one.day for one in self._objects], return_inverse=True)[1]
        parts = recipe.model.parts
        self._parts = None if parts is None else PartReader(self.train, parts.source, parts.kelvin)
        loss, count = recipe.loss, len(self._objects)
        self.criterion = _Classes(
            self.network.dim, count if loss.classes else 0, parts is not None, count if loss.center else 0
        )

    def samples(self, epoch: int) -> np.ndarray:
        """Return objects in random order, each ``data.crops`` times."""
        rng = np.random.default_rng([self.recipe.seed, 11, epoch])
        order = rng.permutation(np.repeat(np.arange(len(self._objects)), self.recipe.data.crops))
        if self.recipe.loss.contrast:  # the objects of a day together, so that a batch holds what is alike
            days = rng.permutation(int(self._days.max()) + 1)[self._days]
            order = order[np.argsort(days[order], kind="stable")]
        return order[:, None]

    def images_in(self, sample: np.ndarray) -> list[str]:
        """Return the frames that show the object."""
        seen = self._objects[int(sample[0])]
        return [self.train.frames.names[row] for row, _ in dict.fromkeys([*seen.color, *seen.thermal])]

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Return ``crops`` ``(2, 3, s, s)``, color and thermal, and the object's ``number``.

        Where the recipe has parts, also ``parts``, ``(2, n, 4)``, pixels of the crops.
        """
        seen, size = self._objects[int(sample[0])], self.recipe.model.size
        color = seen.color[int(torch.randint(len(seen.color), (), generator=generator))]
        others = [where for where in seen.thermal if where[0] != color[0]]
        shown = [(color, "rgb"), (others[int(torch.randint(len(others), (), generator=generator))], "tir")]
        margin = self._margin(generator)
        views = [self._view(*where, band, margin, generator) for where, band in shown]
        pair = torch.stack([crop for crop, _ in views])
        mirrored = float(torch.rand((), generator=generator)) < 0.5
        if mirrored:
            pair = pair.flip(-1)
        turns = int(torch.randint(4, (), generator=generator))
        pair = torch.rot90(pair, turns, (-2, -1)).clone()
        found = {"crops": pair, "number": torch.tensor(int(sample[0]))}
        if self._parts is not None:
            parts = [
                _parts_of(self._parts, where, band, box, size, margin)
                for (where, band), (_, box) in zip(shown, views, strict=True)
            ]
            found["parts"] = _turned(torch.stack(parts), size, mirrored, turns)
        for crop in pair:
            if float(torch.rand((), generator=generator)) < self.recipe.loss.erasing:
                _erase(crop, generator)
        return found

    def _margin(self, generator: torch.Generator) -> float:
        """How much a pair shows around its object."""
        loss, margin = self.recipe.loss, self.recipe.model.margin
        if not (loss.bare or loss.place):
            return margin
        drawn = float(torch.rand((), generator=generator))
        if drawn < loss.bare:
            return MARGIN
        return 2 * margin if drawn < loss.bare + loss.place else margin

    def _view(
        self, row: int, number: int, band: str, margin: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, np.ndarray]:
        """A crop ``(3, s, s)``, its box moved and its light changed as the recipe says; and that box."""
        size, loss, box = self.recipe.model.size, self.recipe.loss, self.train.boxes[row][number][:4]
        if not (loss.jitter or loss.light):
            return object_crops(self.train, [(row, number)], band, size, margin)[0], box
        off = (torch.rand(5, generator=generator) * 2 - 1).tolist()
        width, height = sides_of(box) * (1 + loss.jitter * off[0]) / 2
        x, y = middle_of(box)
        x, y = x + loss.jitter * off[1] * width, y + loss.jitter * off[2] * height
        moved = np.array([x - width, y - height, x + width, y + height])
        crop = crop_around(band_image(self.train, row, band), moved.tolist(), size, margin)
        gain, offset = 1.5 ** (loss.light * off[3]), 0.15 * loss.light * off[4]
        return ((crop - 0.5) * gain + 0.5 + offset).clamp(0, 1), moved

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the sum of the losses: see :class:`ObjectLoss`.

        With parts, the first two also of their vector, and the loss of their detector.
        """
        crops, number, loss = batch["crops"], batch["number"], self.recipe.loss
        flat, parts = crops.flatten(0, 1), batch.get("parts")
        found = self.network.vectors(flat, None if parts is None else parts.flatten(0, 1))
        whole, of_parts = self.criterion.classifier, self.criterion.of_parts
        total = self._of_identities(*found[0], whole, number)
        if parts is not None and of_parts is not None:
            total = total + self._of_identities(*found[1], of_parts, number)
            total = total + self._of_detector(flat, parts.flatten(0, 1))
        if self.criterion.centers is not None:
            off = found[0][0].unflatten(0, crops.shape[:2]) - self.criterion.centers[number][:, None]
            total = total + loss.center * off.square().sum(-1).mean() / 2
        return total

    def _of_identities(
        self, before: torch.Tensor, after: torch.Tensor, classifier: nn.Module, number: torch.Tensor
    ) -> torch.Tensor:
        """The losses of one vector of each crop, ``(2 B, dim)``: color and thermal in turn."""
        loss, total = self.recipe.loss, before.new_zeros(())
        if loss.classes:
            repeated = number.repeat_interleave(2)
            of_classes = F.cross_entropy(classifier(after), repeated, label_smoothing=loss.smoothing)
            total = total + loss.classes * of_classes
        same = number[:, None] == number[None]
        if loss.contrast:
            pairs = after.unflatten(0, (-1, 2))
            total = total + loss.contrast * paired_contrastive_loss(pairs, same, loss.temperature)
        if loss.triplet and not same.all():
            unit = F.normalize(before.unflatten(0, (-1, 2)), dim=-1)
            for mine, other in ((0, 1), (1, 0)):
                distances = torch.cdist(unit[:, mine], unit[:, other])
                hardest = distances.masked_fill(same, torch.inf).argmin(1)
                total = total + loss.triplet * triplet_loss(
                    unit[:, mine], unit[:, other][:, None], unit[hardest, other][:, None], loss.margin
                )
        return total

    def _of_detector(self, crops: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
        """The loss of the detector of parts."""
        branch = self.network.parts
        assert branch is not None
        image, which = torch.nonzero(parts[..., 2] > parts[..., 0], as_tuple=True)
        boxes = parts[image, which]
        targets = torch.cat([image[:, None].to(boxes.dtype), torch.zeros_like(boxes[:, :1]), boxes], 1)
        return center_loss(branch.detector, branch.detector(branch.seen(crops)), targets)

    def metadata(self) -> dict[str, Any]:
        """Return the encoder's weights."""
        return {"weights": self.weights_digest}

    def score(self, scenes: Scenes) -> dict[str, Any]:
        """Compute CMC and nAUC of color crops among the thermal ones of their flight.

        See :mod:`crossband.uav.evaluation`. With parts, where the frames know them, also the detector's AP at
        IoU 0.5, ``parts_ap50``.
        """
        scores = score_crops(scenes, self.describe).to_dict()
        settings = self.recipe.model.parts
        if settings is not None and PartReader.possible(scenes, settings.source):
            scores |= self._score_parts(scenes, PartReader(scenes, settings.source, settings.kelvin))
        return scores

    def _score_parts(self, scenes: Scenes, reader: PartReader) -> dict[str, float]:
        """The detector's AP over the crops of all objects in both bands; nothing where no part is known."""
        branch, size = self.network.parts, self.recipe.model.size
        assert branch is not None
        where = [(row, n) for row, boxes in enumerate(scenes.boxes) for n in range(len(boxes))]
        found, truth = [], []
        with self.measuring():
            for start in range(0, len(where), 32):
                some = where[start : start + 32]
                for band in ("rgb", "tir"):
                    margin = self.recipe.model.margin
                    crops = object_crops(scenes, some, band, size, margin).to(self.device)
                    found += [F.pad(b, (0, 1)).cpu().numpy() for b in branch.detect(crops, least=0.01)]
                    boxes = [
                        _parts_of(reader, one, band, scenes.boxes[one[0]][one[1]], size, margin) for one in some
                    ]
                    truth += [F.pad(b[b[:, 2] > b[:, 0]], (0, 1)).numpy() for b in boxes]
        if not any(map(len, truth)):
            return {}
        return {"parts_ap50": score_detections(found, truth, ["part"]).map50}

    def describe(self, scenes: Scenes, where: Crops, band: str) -> np.ndarray:
        """Compute unit vectors of crops, float32 ``(n, dim)``."""
        with self.measuring():
            return Describer(self.network, self.recipe.model)(scenes, where, band)


@dataclass(frozen=True)
class Describer:
    """Crops of frames to unit vectors, for :func:`crossband.uav.evaluation.score_crops`."""

    network: ObjectNetwork
    model: ObjectModel

    def __call__(self, scenes: Scenes, where: Crops, band: str) -> np.ndarray:
        """Return float32 ``(n, dim)``."""
        device, vectors = next(self.network.parameters()).device, []
        for start in track(range(0, len(where), 32), -(-len(where) // 32), "describing", "batches"):
            some = where[start : start + 32]
            crops = object_crops(scenes, some, band, self.model.size, self.model.margin)
            with torch.inference_mode():
                vectors.append(self.network(crops.to(device)).float().cpu().numpy())
        return np.concatenate(vectors)


@dataclass(frozen=True)
class _Seen:
    """Where an object is seen, as (frame, box): in color by day, and in the thermal."""

    day: str
    color: list[tuple[int, int]]
    thermal: list[tuple[int, int]]


def _seen_twice(scenes: Scenes) -> list[_Seen]:
    """Where each object is seen, of those that two frames of a flight (or a day) show."""
    table = scenes.frames.table
    days = table["sequence"].astype("string")
    if scenes.frames.has("day"):
        days = table["day"].astype("string").fillna(days)
    dark = in_the_dark(scenes)
    seen: dict[tuple[str, int], _Seen] = {}
    for row, (boxes, day) in enumerate(zip(scenes.boxes, days, strict=True)):
        for number, box in enumerate(boxes):
            if min(sides_of(box)) >= _LEAST:
                one = seen.setdefault((day, int(box[5])), _Seen(day, [], []))
                one.thermal.append((row, number))
                if not dark[row]:
                    one.color.append((row, number))
    found = [one for one in seen.values() if one.color and len({row for row, _ in one.thermal}) > 1]
    if not found:
        raise CrossbandError("no object appears in two frames of a flight, so there is nothing to learn")
    return found


def _parts_of(
    reader: PartReader, where: tuple[int, int], band: str, box: np.ndarray, size: int, margin: float
) -> torch.Tensor:
    """An object's parts in the crop of a band around a box, ``(n, 4)``."""
    row, number = where
    shape = reader.scenes.pixels(row, band).shape[:2]
    return parts_in_crop(reader(row, number), shape, box.tolist(), size, margin)


def _turned(parts: torch.Tensor, size: int, mirrored: bool, turns: int) -> torch.Tensor:
    """Boxes ``(..., 4)`` of crops that are mirrored, then turned by quarters; those without an area stay so."""
    x0, y0, x1, y1 = parts.unbind(-1)
    if mirrored:
        x0, x1 = size - x1, size - x0
    for _ in range(turns):  # a quarter counterclockwise: (x, y) -> (y, side - x)
        x0, y0, x1, y1 = y0, size - x1, y1, size - x0
    return torch.stack([x0, y0, x1, y1], -1)


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
