"""The task ``segmentation``: label maps from one band or several.

Li et al., "Residual Spatial Fusion Network for RGB-Thermal Semantic Segmentation", 2023; any registered
network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from ..bands import parse_band
from ..data.items import check_apart, make_preprocess, part_frames, usable_part
from ..data.labeled import LabeledFrames
from ..data.parts import MOST_MB, Factor, Name, Part, Side, Splits, Strict, known
from ..data.preprocess import IMAGENET, Preprocess, Statistics
from ..data.transforms import Blur, LabeledView, Photometry
from ..errors import CrossbandError
from ..frames import Frames
from ..losses.segmentation import CONFIDENCE_LOSSES, SegmentationLoss, class_weights
from ..metrics.segmentation import SEGMENTATION_PROTOCOLS, score_confusion, score_interval
from ..models import create_segmenter
from ..nn.heads import HasHeads
from ..training.recipe import Recipe
from ..training.task import Task, register_task
from .classes import class_names
from .evaluation import confusion_of
from .pseudo_labels import pseudo_labels

__all__ = ["Segmentation", "SegmentationRecipe"]

_SHOWN = 12
"""Pixels of a class from which on a frame shows it."""

_STATISTICS = {
    "unit": Statistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": Statistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": IMAGENET,
}


class SegmentationData(Splits[Part]):
    """Which labeled frames, bands and pixels.

    Attributes:
        train: frames to learn from.
        val: frames that choose the checkpoint.
        test: named parts that are only ever measured.
        bands: what the network reads; of two streams, the last band is the second.
        classes: a known class list (``mfnet``, ``pst900``) or the names.
        size: (height, width) that images are resized to.
        crop: (height, width) of the random crop while training, or ``None``.
        normalization: a normalization's name, a band.
        statistics: what pixels are standardized by: ``unit`` leaves them in [0, 1], ``imagenet``, or
            ``measured`` on train.
        cache_mb: memory for decoded images, 0 for none.
        mirror: the share of frames that are mirrored.
        rotate: the largest random turn, degrees.
        zoom: (smallest, largest) random factor.
        photometry: strength of the photometric augmentation, 0 to 1.
        drop: share of the frames of which one band, each as often, is black while training, so that the network
            also reads the others alone.
        blur: the share of frames that a Gaussian of 5x5 pixels blurs.
        rare: the share of the frames in whose place one comes that shows a class, all classes but the
            commonest alike often; and the share of all crops that are drawn around a pixel of a class that the
            frame shows, of the rarest most often.
    """

    bands: list[str] = Field(default_factory=lambda: ["rgb", "tir"])
    classes: Name | list[Name] = "mfnet"
    size: tuple[Side, Side] = (480, 640)
    crop: tuple[Side, Side] | None = None
    normalization: dict[Name, Name] = Field(default_factory=dict)
    statistics: Literal["unit", "symmetric", "imagenet", "measured"] = "imagenet"
    cache_mb: int = Field(default=0, ge=0, le=MOST_MB)
    mirror: float = Field(default=0.0, ge=0, le=1)
    rotate: float = Field(default=0.0, ge=0, le=180)
    zoom: tuple[Factor, Factor] = (1.0, 1.0)
    photometry: float = Field(default=0.0, ge=0, le=1)
    drop: float = Field(default=0.0, ge=0, le=1)
    blur: float = Field(default=0.0, ge=0, le=1)
    rare: float = Field(default=0.0, ge=0, le=1)

    @field_validator("bands")
    @classmethod
    def _known(cls, bands: list[str]) -> list[str]:
        if not bands:
            raise CrossbandError("data.bands needs at least one band")
        return [parse_band(band).value for band in bands]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.crop is not None and (self.crop[0] > self.size[0] or self.crop[1] > self.size[1]):
            raise CrossbandError(f"data.crop {self.crop} is larger than data.size {self.size}")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise CrossbandError(f"data.zoom takes the smallest and the largest factor, not {self.zoom}")
        return self


class SegmentationModel(Strict):
    """What is trained.

    Attributes:
        name: a registered segmentation network.
        options: of the network.
        pretrained: whether its encoders start from their ImageNet weights.
    """

    name: Name = "rsfnet50_18"
    options: dict[str, Any] = Field(default_factory=dict)
    pretrained: bool = True


class SegmentationLossPart(Strict):
    """The loss, equations (6) to (9).

    Attributes:
        weights: whether classes are weighed by ``1 / ln(offset + p)``.
        offset: see there.
        balance: lambda, the weight of the confidences' regression to the pseudo-labels; they are computed only
            where the network learns confidences and this is not 0.
        regression: ``smooth_l1``, ``l1`` or ``l2``.
        pseudo_labels: ``whole`` compares all that stands out with the labels, as the paper's text; ``boxed``
            what stands out inside the labels' bounding boxes, as the authors' code.
        mean: the cross-entropy's sum is divided by the ``pixels``, as equation (7), or by their ``weights``, as
            in the authors' code.
    """

    weights: bool = True
    offset: float = Field(default=1.05, gt=1, le=1e6)
    balance: float = Field(default=0.3, ge=0, le=1e6)
    regression: Annotated[str, known("regression", CONFIDENCE_LOSSES.names())] = "smooth_l1"
    pseudo_labels: Literal["whole", "boxed"] = "whole"
    mean: Literal["pixels", "weights"] = "pixels"


class SegmentationScoring(Strict):
    """How it is measured.

    Attributes:
        protocol: ``present``, ``rtfnet`` or ``objects``; see :mod:`crossband.metrics.segmentation`.
        batch_size: frames at once.
    """

    protocol: Annotated[str, known("protocol", SEGMENTATION_PROTOCOLS)] = "present"
    batch_size: int = Field(default=8, ge=1, le=65_536)


class SegmentationRecipe(Recipe):
    """A recipe of the task ``segmentation``."""

    data: SegmentationData
    model: SegmentationModel = SegmentationModel()
    loss: SegmentationLossPart = SegmentationLossPart()
    scoring: SegmentationScoring = SegmentationScoring()


@register_task("segmentation", SegmentationRecipe)
class Segmentation(Task):
    """Trains a registered segmentation network.

    Raises:
        CrossbandError: frames, bands or labels that are missing.
    """

    recipe: SegmentationRecipe
    monitor = "val/miou"
    divides = True
    shown = ("miou", "day/miou", "night/miou", "iou/*")

    def __init__(self, recipe: SegmentationRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        data, model = recipe.data, recipe.model
        self.classes = class_names(data.classes)
        self.network = create_segmenter(
            model.name, len(self.classes), data.bands, pretrained=model.pretrained, options=model.options
        )
        self.weights_digest = str(self.network.digest)
        self._view = LabeledView(data.mirror, data.rotate, data.crop, data.zoom)
        self._light = Photometry(data.photometry)
        self._blur = Blur(data.blur)
        heads = self.network.heads if isinstance(self.network, HasHeads) else {}
        self._heads = {
            name: head for name, head in heads.items() if head.target != "confidence" or recipe.loss.balance
        }
        self._confident = any(head.target == "confidence" for head in self._heads.values())
        self.criterion: nn.Module = self._criterion(None)
        self._train: LabeledFrames | None = None
        self._wanted: torch.Tensor | None = None
        self._shown = np.zeros((0, 0), bool)
        self._val: LabeledFrames | None = None
        self.preprocess = self._preprocess()

    def _criterion(self, weights: torch.Tensor | None) -> nn.Module:
        loss = self.recipe.loss
        return SegmentationLoss(weights, loss.balance, loss.regression, loss.mean, self._heads)

    def _preprocess(self) -> Preprocess:
        data = self.recipe.data
        train = part_frames(data.train, self._root) if data.statistics == "measured" else None
        expected = _STATISTICS.get(data.statistics, _STATISTICS["unit"])
        return make_preprocess(data.size, data.normalization, expected, measured_on=train)

    def _labeled(self, frames: Frames) -> LabeledFrames:
        data = self.recipe.data
        return LabeledFrames(frames, data.bands, self.preprocess, self.classes, data.cache_mb)

    def check(self) -> None:
        """Check that val shares no image with a test set that is here, and read what training needs."""
        check_apart(self.recipe.data, self._root, self.recipe.data.bands)
        self._read_train()

    def _read_train(self) -> None:
        """The training frames, the classes' weights and the pseudo-labels."""
        if self._train is not None:
            return
        self._train = self._labeled(usable_part(self.recipe.data.train, self._root))
        loss = self.recipe.loss
        found = self._train.class_counts()
        counts = torch.from_numpy(found.sum(0))
        self._shown = found >= _SHOWN
        self._shown[:, int(found.sum(0).argmax())] = False  # the commonest is everywhere
        weights = class_weights(counts, loss.offset) if loss.weights else None
        self.criterion = self._criterion(weights)
        if self._confident:
            self._wanted = torch.from_numpy(self._pseudo_labels())

    def _pseudo_labels(self) -> np.ndarray:
        """One column per stream: of several bands in one stream the best, as the stream may go by any."""
        assert self._train is not None
        boxed = self.recipe.loss.pseudo_labels == "boxed"
        each = pseudo_labels(self._train.frames, list(self._train.bands), boxed=boxed)
        if each.shape[1] <= 2:
            return each
        return np.stack([np.nanmax(each[:, :-1], 1), each[:, -1]], 1)

    def samples(self, epoch: int) -> np.ndarray:
        """Return all training frames in random order, some in place of which one for a rare class comes."""
        self._read_train()
        assert self._train is not None
        rng = np.random.default_rng([self.recipe.seed, 17, epoch])
        rows, kinds = rng.permutation(len(self._train)), np.flatnonzero(self._shown.any(0))
        if self.recipe.data.rare and len(kinds):
            replaced = np.flatnonzero(rng.random(len(rows)) < self.recipe.data.rare)
            for place, kind in zip(replaced, rng.choice(kinds, len(replaced)), strict=True):
                rows[place] = rng.choice(np.flatnonzero(self._shown[:, kind]))
        return rows[:, None]

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Read ``images`` ``(C, h, w)``, ``labels`` ``(h, w)`` and ``wanted`` confidences ``(streams,)``."""
        assert self._train is not None
        row = int(sample[0])
        bands, labels = self._train.frame(row)
        parts = bands.split([3 if band.value == "rgb" else 1 for band in self._train.bands])
        lit = [self._light(part, band, generator) for part, band in zip(parts, self._train.bands, strict=True)]
        if len(lit) > 1 and float(torch.rand((), generator=generator)) < self.recipe.data.drop:
            lost = int(torch.randint(len(lit), (), generator=generator))
            lit[lost] = torch.zeros_like(lit[lost])
        known = self._train.sized_labels(labels)
        images, known = self._view(torch.cat(lit), known, generator, self._aim(row, known, generator))
        images = self._blur(images, generator)
        batch = {"images": self._train.standardized(images), "labels": known}
        return batch if self._wanted is None else {**batch, "wanted": self._wanted[row]}

    def _aim(self, row: int, labels: torch.Tensor, generator: torch.Generator) -> tuple[float, float] | None:
        """A pixel of a class that the frame shows, the rarest most often; ``None`` for any place."""
        shown = np.flatnonzero(self._shown[row])
        rare = self.recipe.data.rare
        if not rare or not len(shown) or float(torch.rand((), generator=generator)) >= rare:
            return None
        rarity = torch.from_numpy(1 / self._shown.sum(0)[shown])
        kind = int(shown[int(torch.multinomial(rarity, 1, generator=generator))])
        places = torch.nonzero(labels == kind)
        if not len(places):  # lost where labels became smaller
            return None
        y, x = places[int(torch.randint(len(places), (), generator=generator))].tolist()
        return float(y), float(x)

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the mean over the batch's pixels, and frames."""
        if not (self._heads and isinstance(self.network, HasHeads)):
            return self.criterion(self.network(batch["images"]), batch["labels"])
        logits, further = self.network.with_heads(batch["images"])
        return self.criterion(logits, batch["labels"], further, batch.get("wanted"))

    def images_in(self, sample: np.ndarray) -> list[str]:
        """Return the frames."""
        assert self._train is not None
        return [self._train.frames.names[int(row)] for row in sample]

    def validate(self) -> dict[str, float]:
        """Return mIoU and mAcc on val."""
        if self._val is None:
            self._val = self._labeled(usable_part(self.recipe.data.val, self._root))
        scoring = self.recipe.scoring
        found = confusion_of(self.network, self._val, batch_size=scoring.batch_size, what="val")
        scores = score_confusion(found.sum(0), scoring.protocol)
        return {"val/miou": scores.miou, "val/macc": scores.macc}

    def test(self) -> dict[str, dict[str, Any]]:
        """Score every class on each test part, day and night apart where the frames tell."""
        results = {}
        for name, part in self.recipe.data.test.items():
            data = self._labeled(usable_part(part, self._root))
            found = confusion_of(self.network, data, batch_size=self.recipe.scoring.batch_size, what=name)
            results[name] = self.score(data, found)
        return results

    def score(self, data: LabeledFrames, matrices: np.ndarray) -> dict[str, Any]:
        """Score some frames by the recipe's protocol, with intervals, day and night apart.

        Args:
            data: the frames.
            matrices: the confusion matrix of each, ``(n, classes, classes)``.
        """
        table = data.frames.table
        groups = table["sequence"].fillna(table["frame"]) if data.frames.has("sequence") else table["frame"]
        parts = {"": np.ones(len(data), bool)}
        if data.frames.has("condition"):
            night = (table["condition"] == "night").fillna(False).to_numpy(bool)
            parts |= {"day": ~night, "night": night}
        found: dict[str, Any] = {}
        for name, rows in parts.items():
            if not rows.any():
                continue
            protocol = self.recipe.scoring.protocol
            scores = score_confusion(matrices[rows].sum(0), protocol).to_dict(self.classes)
            interval = score_interval(matrices[rows], groups[rows].tolist(), protocol)
            scores |= {
                "n_frames": int(rows.sum()),
                "ci95": {key: list(value) for key, value in interval.items()},
            }
            found |= {name: scores} if name else scores
        return found

    def metadata(self) -> dict[str, Any]:
        """Return classes, bands, preprocessing, and the encoders' weights."""
        return {
            "classes": self.classes,
            "bands": self.recipe.data.bands,
            "preprocess": self.preprocess.describe(),
            "weights": self.weights_digest,
        }
