"""The task ``pairs``: one scene, two bands, one descriptor; learned from aligned frames that are moved apart.

Each step shows some frames in all their bands, cut alike and then shifted, scaled and turned a little against
each other; among its batch, a frame in one band has to choose itself in the other (the N-pair loss of Sohn,
NeurIPS 2016, both ways). The checkpoint can be used wherever a descriptor name can.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, field_validator

from ...bands import parse_band
from ...data.items import FrameItems, check_apart, make_preprocess, part_frames, usable_part
from ...data.parts import MOST_MB, Factor, Name, Part, Side, Splits, Strict
from ...data.preprocess import Warp
from ...data.transforms import Flip, Photometry, ViewShift
from ...errors import CrossbandError
from ...frames import Frames
from ...losses.n_pair import n_pair_loss
from ...models.pair_descriptor import PairDescriptor, create_pair_descriptor
from ...training.distributed import spread
from ...training.recipe import Recipe
from ...training.task import Task, register_task
from ..fit import principal_axes

__all__ = ["Misalignment", "PairData", "PairLoss", "PairModel", "PairRecipe", "Pairs"]

Read = Callable[[np.ndarray], tuple[torch.Tensor, torch.Tensor]]

_AT_ONCE = 32  # images that go through the encoder together: first maps are large
_MOST = 400  # frames that the bands' means are of
Moved = Annotated[float, Field(ge=-1, le=1)]
Turned = Annotated[float, Field(ge=-180, le=180)]


class Misalignment(Strict):
    """How far two cameras of a pair may be apart; each band is moved by itself.

    Attributes:
        shift: largest share of each side.
        scale: largest factor, or one over it.
        rotate: largest turn, degrees.
    """

    shift: float = Field(default=0.05, ge=0, le=0.5)
    scale: float = Field(default=1.1, ge=1, le=2)
    rotate: float = Field(default=5.0, ge=0, le=45)

    def draw(self, generator: torch.Generator) -> Warp:
        """Draw a random warp."""
        shift, scale, rotate = (2 * torch.rand(3, generator=generator) - 1).tolist()
        return Warp(self.shift * shift, math.exp(math.log(self.scale) * scale), self.rotate * rotate)


class PairData(Splits[Part]):
    """Which frames, bands and pixels.

    Attributes:
        train: aligned frames to learn from.
        val: frames that choose the checkpoint.
        test: named parts that are only ever measured.
        bands: two or more.
        size: (height, width) in pixels.
        normalization: a normalization's name, a band.
        cache_mb: memory for decoded images.
        crop: largest share of each side that is cut off, the same in all bands.
        flip: share of the frames that are mirrored.
        photometry: strength of the photometric augmentation, of each band by itself, 0 to 1.
        invert_tir: share of thermal images that are inverted.
        apart: how the bands are moved against each other while training.
        tested: the misalignment that val and test are measured with besides none: shift, scale, degrees.
    """

    bands: list[str] = Field(default_factory=lambda: ["rgb", "tir"])
    size: tuple[Side, Side] = (320, 320)
    normalization: dict[Name, Name] = Field(default_factory=dict)
    cache_mb: int = Field(default=0, ge=0, le=MOST_MB)
    crop: float = Field(default=0.0, ge=0, le=0.9)
    flip: float = Field(default=0.5, ge=0, le=1)
    photometry: float = Field(default=0.0, ge=0, le=1)
    invert_tir: float = Field(default=0.0, ge=0, le=1)
    apart: Misalignment = Misalignment()
    tested: tuple[Moved, Factor, Turned] = (0.05, 1.1, 5.0)

    @field_validator("bands")
    @classmethod
    def _known(cls, bands: list[str]) -> list[str]:
        known = list(dict.fromkeys(parse_band(band).value for band in bands))
        if len(known) < 2:
            raise CrossbandError("pairs need at least two bands; data.bands has one")
        return known


class PairModel(Strict):
    """What is trained; see :class:`crossband.models.pair_descriptor.PairDescriptor`.

    Attributes:
        encoder: a registered encoder.
        layer: where it is cut; its last map by default.
        pooling: map to vector.
        dim: length of a descriptor.
        pretrained: whether the encoder starts from its ImageNet weights.
        train_from: the first layer of the encoder that is trained; none by default.
        views: how many times each training image, augmented, is seen for the axes to start from.
    """

    encoder: Name = "efficientnet_lite0"
    layer: Name | None = None
    pooling: Name = "avg4"
    dim: int = Field(default=512, ge=2, le=1 << 20)
    pretrained: bool = True
    train_from: Name | None = None
    views: int = Field(default=3, ge=1, le=1000)


class PairLoss(Strict):
    """The loss.

    Attributes:
        temperature: of the N-pair loss.
        hold: weight of the squared distance of the axes to the principal ones they start from, as a share of
            those.
    """

    temperature: float = Field(default=0.1, gt=0, le=1e3)
    hold: float = Field(default=0.0, ge=0, le=1e6)


class PairRecipe(Recipe):
    """A recipe of the task ``pairs``."""

    data: PairData
    model: PairModel = PairModel()
    loss: PairLoss = PairLoss()


@register_task("pairs", PairRecipe)
class Pairs(Task):
    """Trains a :class:`~crossband.models.pair_descriptor.PairDescriptor`.

    Raises:
        CrossbandError: frames or bands that are missing.
    """

    recipe: PairRecipe
    network: PairDescriptor
    monitor = "val/recall"
    shown = ("aligned/*", "misaligned/*")

    def __init__(self, recipe: PairRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        model, data = recipe.model, recipe.data
        self.network, self.weights_digest = create_pair_descriptor(
            model.encoder, model.layer, model.pooling, data.size, model.dim, len(data.bands), model.pretrained
        )
        self.trained_parameters = self.network.set_trainable(model.train_from)
        self.criterion = torch.nn.Identity()
        self.preprocess = make_preprocess(data.size, data.normalization, self.network.encoder.statistics)
        self.items = self._items(usable_part(data.train, root))
        self._light = Photometry(data.photometry, data.invert_tir)
        self._geometry = (ViewShift(data.crop), Flip(data.flip))
        self._val: FrameItems | None = None
        self._start = self.network.axes.detach().clone()

    def _items(self, frames: Frames) -> FrameItems:
        items = FrameItems(frames, self.recipe.data.bands, self.preprocess, self.recipe.data.cache_mb)
        for band, there in zip(self.recipe.data.bands, items.listed.T, strict=True):
            if not there.any():
                raise CrossbandError(
                    f"no frames of {frames.root} have the band {band}; name others in data.bands"
                )
        return items

    def check(self) -> None:
        """Check that val has pairs and shares no frame with a test set."""
        data = self.recipe.data
        if not (self._items(part_frames(data.val, self._root)).listed.sum(1) > 1).any():
            raise CrossbandError("no frame of data.val has two of the bands; a checkpoint is selected on pairs")
        check_apart(data, self._root, data.bands)

    def prepare(self) -> None:
        """Fit the principal axes to start from.

        Of the training images as they are seen while training, ``model.views`` times each, every band centered.
        Axes of the images as they are know nothing of what moves them.
        """
        views = [self._augmented(view) for view in range(self.recipe.model.views)]
        pooled, present = (np.concatenate(parts) for parts in zip(*views, strict=True))
        self._set_means(pooled, present)
        rows = np.concatenate(
            [_unit(pooled[there, m]) - self.network.means[m].numpy() for m, there in enumerate(present.T)]
        )
        axes = torch.from_numpy(principal_axes(rows, self.network.dim))
        with torch.no_grad():  # columns of length 1 on average, whatever the number of images
            self.network.axes.copy_(axes / axes.norm() * self.network.dim**0.5)
        self._start = self.network.axes.detach().clone()
        self._measure_means()

    def _measure_means(self) -> None:
        """The bands' means over training images as they are, up to 400 of each band."""
        rows = [np.flatnonzero(there) for there in self.items.listed.T]
        some = np.unique(np.concatenate([row[:: -(-len(row) // _MOST)] for row in rows]))
        self._set_means(*self._pooled(self._items(self.items.frames.select(some))))

    def _augmented(self, view: int) -> tuple[np.ndarray, np.ndarray]:
        seed = self.recipe.seed

        def read(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            found = [self.read(np.array([row]), _generator(seed, view, int(row))) for row in rows]
            return torch.stack([one["images"] for one in found]), torch.stack([one["present"] for one in found])

        return self._described(len(self.items), len(self.items.bands), read)

    def samples(self, epoch: int) -> np.ndarray:
        """Return every frame with two bands or more once, in a new order, int64 ``(n, 1)``."""
        rows = np.flatnonzero(self.items.listed.sum(1) > 1)
        if not len(rows):
            raise CrossbandError(
                "no training frames have two of the bands; pairs are learned from aligned frames"
            )
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(rows))
        return rows[order][:, None]

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Return ``images`` ``(m, 3, H, W)``, a band each, and which are ``present`` ``(m,)``."""
        images, present = self.items.tensor(int(sample[0]), self._geometry, self._light, generator)
        apart = self.recipe.data.apart
        moved = [apart.draw(generator)(image) for image in images]
        return {"images": torch.stack(moved), "present": present}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the mean over both ways of every pair of bands, plus the penalty of the axes."""
        images, present = batch["images"], batch["present"]
        parts = [self.network.pooled(part) for part in images.flatten(0, 1).split(_AT_ONCE)]
        pooled = torch.cat(parts).unflatten(0, images.shape[:2])
        losses = []
        for a, b in itertools.combinations(range(images.shape[1]), 2):
            both = present[:, a] & present[:, b]
            if int(both.sum()) > 1:
                one, other = (self.network.finish(pooled[both, band]) for band in (a, b))
                right, tau = torch.arange(len(one), device=one.device), self.recipe.loss.temperature
                losses += [n_pair_loss(one, other, right, tau), n_pair_loss(other, one, right, tau)]
        start = self._start.to(pooled.device)
        held = (self.network.axes - start).square().sum() / start.square().sum()
        # a batch without a pair moves nothing but what holds
        chosen = torch.stack(losses).mean() if losses else 0 * pooled.sum()
        return chosen + self.recipe.loss.hold * held

    def images_in(self, sample: np.ndarray) -> list[str]:
        """Return frames and bands."""
        return [f"{self.items.frames.names[int(sample[0])]} ({band.value})" for band in self.items.bands]

    def validate(self) -> dict[str, float]:
        """Return R@1 on val, aligned and misaligned, the mean of both ways of every pair of bands.

        ``val/recall`` is the mean of the two. The bands' means are taken of the training images first.
        """
        if self.recipe.model.train_from is not None:
            self._measure_means()
        if self._val is None:
            self._val = self._items(usable_part(self.recipe.data.val, self._root))
        scores = self._scores(self._val)
        found = {f"val/{name}": float(np.nanmean(list(pairs.values()))) for name, pairs in scores.items()}
        return {**found, "val/recall": float(np.mean(list(found.values())))}

    def test(self) -> dict[str, dict[str, Any]]:
        """Return R@1 of each direction on each test part, aligned and misaligned, percent."""
        found = {}
        for name, part in self.recipe.data.test.items():
            items = self._items(usable_part(part, self._root))
            found[name] = {"n_frames": len(items), **self._scores(items)}
        return found

    def _scores(self, items: FrameItems) -> dict[str, dict[str, float]]:
        """``aligned`` and ``misaligned`` -> direction -> R@1, percent; the gallery is what is moved."""
        bands = self.recipe.data.bands
        still, present = self._pooled(items)
        moved, _ = self._pooled(items, Warp(*self.recipe.data.tested))
        sides = [[self._finished(rows[present[:, m], m]) for m in range(len(bands))] for rows in (still, moved)]
        found: dict[str, dict[str, float]] = {"aligned": {}, "misaligned": {}}
        for (name, gallery), (a, b) in itertools.product(
            zip(found, sides, strict=True), itertools.permutations(range(len(bands)), 2)
        ):
            queries = np.flatnonzero(present[:, a])
            order = np.flatnonzero(present[:, b])
            nearest = order[(sides[0][a] @ gallery[b].T).argmax(1)]
            able = present[queries, b]
            right = (nearest == queries)[able]
            found[name][f"{bands[a]} -> {bands[b]}"] = 100 * float(right.mean()) if able.any() else math.nan
        return found

    def _finished(self, pooled: np.ndarray) -> np.ndarray:
        axes = self.network.axes.detach().cpu().numpy()
        rows = _unit(pooled)
        return _unit((rows - rows.mean(0)) @ axes)

    def _pooled(self, items: FrameItems, warp: Warp | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Pooled vectors of all frames in all bands, moved by ``warp``; as :meth:`_described`."""

        def read(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            images, present = items.batch(rows)
            if warp is not None:
                moved = [warp(image) for image in images.flatten(0, 1)]
                images = torch.stack(moved).unflatten(0, images.shape[:2])
            return images, present

        return self._described(len(items), len(items.bands), read)

    def _described(self, n: int, bands: int, read: Read) -> tuple[np.ndarray, np.ndarray]:
        """Pooled vectors ``(n, bands, D)`` of what ``read`` gives, and which are present ``(n, bands)``."""
        width, device = self.network.axes.shape[0], self.network.axes.device

        def compute(rows: np.ndarray) -> torch.Tensor:
            images, present = read(rows)
            pooled = self.network.pooled(images.flatten(0, 1).to(device)).cpu()
            return torch.cat([pooled.view(len(rows), -1), present.float()], 1)

        found = spread(self.network, np.arange(n), compute, 8)
        return found[:, : bands * width].reshape(n, bands, width), found[:, bands * width :] > 0.5

    def _set_means(self, pooled: np.ndarray, present: np.ndarray) -> None:
        for m, there in enumerate(present.T):
            self.network.means[m] = torch.from_numpy(_unit(pooled[there, m]).mean(0))

    def metadata(self) -> dict[str, Any]:
        """Return bands, preprocessing, and the weights that the encoder started from."""
        return {
            "bands": list(self.recipe.data.bands),
            "preprocess": self.preprocess.describe(),
            "weights": self.weights_digest,
            "dim": self.network.dim,
        }

    def state(self) -> dict[str, Any]:
        """Return the axes at the start."""
        return {"start": self._start}

    def load_state(self, state: dict[str, Any]) -> None:  # type: ignore[override]
        """Restore the axes at the start."""
        if "start" in state:
            self._start = state["start"]


def _generator(*numbers: int) -> torch.Generator:
    """Seeded by all of them."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
