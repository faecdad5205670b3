"""The task ``localization``: which tile of the map does a labeling show?

"Object Re-identification Using Multimodal Aerial Imagery and Conditional Adversarial Networks" (ISPRS Archives
XLIV-2/W1-2021), section 3.2; see :mod:`crossband.models.tile_distance`. Labelings of training frames and ones
seen on the map from made-up positions are told apart from tiles of other places, near and far.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from ...data.parts import Label, Name, Strict
from ...data.scenes import Scenes
from ...files import make_folder
from ...losses.n_pair import n_pair_loss
from ...models.tile_distance import TileDistance
from ...progress import track
from ...training.scene_task import SceneRecipe, SceneTask
from ...training.task import register_task
from ..flight import poses_of
from ..ground_classes import GROUND, UNKNOWN, label_table
from ..projection import Pose, ground_patch
from ..semantic_map import SemanticMap, read_map
from ..tiles import TileIndex
from .labeling import _city_classes

__all__ = ["LocalizationModel", "LocalizationRecipe", "LocalizationTask", "Search", "localization_scores"]


_DRAWS = 5  # rough positions that each frame is searched from


class LocalizationModel(Strict):
    """The network; see :class:`crossband.models.tile_distance.TileDistance`.

    Attributes:
        pixels: side of a labeling.
        width: of MobileNetV2's channels.
        channels: dims kept at each place of the last map.
        stages: of MobileNetV2's 19.
    """

    pixels: int = Field(default=64, ge=32, le=8192)
    width: float = Field(default=1.0, gt=0, le=100)
    channels: int = Field(default=16, ge=1, le=4096)
    stages: int = Field(default=19, ge=4, le=19)


class Search(Strict):
    """Tiles and what is searched.

    Attributes:
        tile: side of a tile, meters.
        stride: meters between two tiles.
        radius: meters around the rough position.
        rough: the most that the rough position is wrong, meters.
        prior: weight of a tile's squared distance to the rough position, as a share of the radius, beside its
            squared learned distance.
    """

    tile: float = Field(default=64.0, gt=0, le=1e6)
    stride: float = Field(default=16.0, gt=0, le=1e6)
    radius: float = Field(default=100.0, gt=0, le=1e6)
    rough: float = Field(default=60.0, ge=0, le=1e6)
    prior: float = Field(default=0.0, ge=0, le=1e6)


class LocalizationLearning(Strict):
    """What is learned from.

    Attributes:
        made_up: labelings per epoch that are seen on a map from made-up positions.
        cities: maps besides that of the training frames, of simulated cities of their own, where positions are
            made up too; one city's streets are soon known by heart.
        negatives: tiles that each labeling is told apart from, besides all others of the batch: every second
            one at most four strides away, the others anywhere within the radius.
        noise: share of a labeling's cells that are given another class.
        heading: standard error of the compass, degrees.
        altitude: standard error of the altitude, as a share.
        temperature: of the loss.
    """

    made_up: int = Field(default=1000, ge=0, le=10_000_000)
    cities: int = Field(default=0, ge=0, le=100)
    negatives: int = Field(default=2, ge=0, le=10_000)
    noise: float = Field(default=0.15, ge=0, lt=1)
    heading: float = Field(default=2.0, ge=0, le=360)
    altitude: float = Field(default=0.04, ge=0, le=1)
    temperature: float = Field(default=0.1, gt=0, le=1e3)


class LocalizationRecipe(SceneRecipe):
    """A recipe of the task ``localization``; the map lies in ``map`` beside the frames."""

    model: LocalizationModel = LocalizationModel()
    search: Search = Search()
    learning: LocalizationLearning = LocalizationLearning()
    classes: dict[Name, Label] = Field(default_factory=_city_classes)


@register_task("localization", LocalizationRecipe)
class LocalizationTask(SceneTask):
    """Trains a :class:`~crossband.models.tile_distance.TileDistance`."""

    recipe: LocalizationRecipe
    network: TileDistance
    needs = ("semantic", "altitude", "heading", "focal")
    monitor = "val/minus_meters"
    shown, unit = ("mean_m", "median_m", "p90_m"), "meters"

    def __init__(self, recipe: LocalizationRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        self.network = TileDistance(len(GROUND), **recipe.model.model_dump())
        self.criterion: nn.Module = nn.Identity()
        self._table = label_table(recipe.classes)
        self._map = read_map(self.train.frames.root)
        self._poses = poses_of(self.train.frames, self._map, self._size(self.train))

    @functools.cached_property
    def _maps(self) -> list[SemanticMap]:
        """Where positions are made up; cities are made when the first one is, not to measure."""
        return [self._map, *_city_maps(self.recipe.learning.cities, self._root, self.recipe.seed)]

    @staticmethod
    def _size(scenes: Scenes) -> tuple[int, int]:
        height, width = scenes.pixels(0, "semantic").shape
        return height, width

    def samples(self, epoch: int) -> np.ndarray:
        """Draw frames, and numbers beyond them for labelings that are made up."""
        rng = np.random.default_rng([self.recipe.seed, 11, epoch])
        return rng.permutation(len(self.train) * self.recipe.data.crops + self.recipe.learning.made_up)[:, None]

    def images_in(self, sample: np.ndarray) -> list[str]:
        """Return the frame's name, or that there is none."""
        real = len(self.train) * self.recipe.data.crops
        return [
            self.train.frames.names[int(i) % len(self.train)] if i < real else "a made-up labeling"
            for i in sample
        ]

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Return ``labels`` uint8 ``(2 + negatives, pixels, pixels)``.

        As seen, the right tile, others near it.
        """
        rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
        learning, search, pixels = self.recipe.learning, self.recipe.search, self.network.pixels
        number = int(sample[0])
        if number < len(self.train) * self.recipe.data.crops:
            row = number % len(self.train)
            pose, ground = self._poses[row], self._map
            labels = self._table[self.train.pixels(row, "semantic")]
        else:
            ground = self._maps[int(rng.integers(len(self._maps)))]
            pose = self._made_up(ground, rng)
            labels = ground.seen_by(pose, step=2)
        believed = Pose(
            pose.x,
            pose.y,
            pose.altitude * (1 + learning.altitude * rng.normal()),
            pose.heading + learning.heading * rng.normal(),
            pose.pitch,
            pose.focal,
            pose.width,
            pose.height,
        )
        seen = _noisy(ground_patch(labels, believed, search.tile, pixels, UNKNOWN), learning.noise, rng)
        x, y = pose.looks_at
        places = [np.array([x, y]) + rng.uniform(-0.5, 0.5, 2) * search.stride]
        for i in range(learning.negatives):
            far = 4 * search.stride if i % 2 == 0 else max(search.radius, 4 * search.stride)
            angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(search.stride, far)
            places.append(np.array([x + reach * np.cos(angle), y + reach * np.sin(angle)]))
        tiles = [ground.patch(px, py, search.tile, pixels) for px, py in places]
        return {"labels": torch.from_numpy(np.stack([seen, *tiles]))}

    def _made_up(self, ground: SemanticMap, rng: np.random.Generator) -> Pose:
        """A camera like that of some frame, anywhere over a map."""
        like = self._poses[int(rng.integers(len(self._poses)))]
        width, height = ground.extent
        return Pose(
            float(rng.uniform(0, width)),
            float(rng.uniform(0, height)),
            like.altitude * rng.uniform(0.8, 1.25),
            float(rng.uniform(0, 360)),
            like.pitch,
            like.focal,
            like.width,
            like.height,
        )

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the cross entropy of each labeling choosing among all tiles of the batch."""
        labels = batch["labels"]
        n, k = labels.shape[:2]
        vectors = self.network(labels.flatten(0, 1)).unflatten(0, (n, k))
        right = torch.arange(n, device=vectors.device) * (k - 1)
        return n_pair_loss(vectors[:, 0], vectors[:, 1:].flatten(0, 1), right, self.recipe.learning.temperature)

    def score(self, scenes: Scenes) -> dict[str, Any]:
        """Compute errors in meters and recall of tiles, by true labels; see :func:`localization_scores`."""
        ground = read_map(scenes.frames.root)
        poses = poses_of(scenes.frames, ground, self._size(scenes))
        labels = (self._table[scenes.pixels(row, "semantic")] for row in range(len(scenes)))
        with self.measuring():
            found = localization_scores(
                self.network, ground, poses, labels, self.recipe.search, self.recipe.seed, str(self.device)
            )
        return {**found, "minus_meters": -found["mean_m"]}


def _city_maps(count: int, root: Path, seed: int) -> list[SemanticMap]:
    """Maps of simulated cities, made where they are not there yet."""
    from ...simulation.city import build_city
    from ...simulation.map_tiles import write_map

    numbers = [1000 * (seed + 1) + i for i in range(count)]  # far from the seeds that recipes count
    for number in track(numbers, count, "maps of cities", "maps"):
        folder = root / "city" / "maps" / str(number)
        if not (folder / "map" / "tiles.json").is_file():
            write_map(build_city(number), make_folder(folder))
    return [read_map(root / "city" / "maps" / str(number)) for number in numbers]


def _noisy(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A labeling with square cells of another class, as a labeling network would have."""
    side = labels.shape[0]
    cells = 12
    wrong = rng.random((cells, cells)) < share
    classes = rng.choice([*range(len(GROUND)), UNKNOWN], (cells, cells)).astype(np.uint8)
    index = np.arange(side) * cells // side
    known = labels != UNKNOWN
    return np.where(known & wrong[index][:, index], classes[index][:, index], labels)


def localization_scores(
    network: TileDistance,
    ground: SemanticMap,
    poses: list[Pose],
    labels: Any,
    search: Search,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Localize frames whose place is known, each from several rough positions.

    These are wrong by up to ``search.rough``: which tiles are near enough to be taken for the right one depends
    on the draw.

    Args:
        network: the learned distance, in evaluation.
        ground: the map.
        poses: true poses in its meters.
        labels: of each frame uint8 ``(H, W)``, in the same order.
        search: tiles and radius.
        seed: of the rough positions.
        device: of the network.

    Returns:
        ``mean_m``, ``median_m`` and ``p90_m`` of the error in meters with ``median_ci95`` (frames drawn again),
        ``rough_median_m`` of the rough positions, ``recall`` by N (percent of searches of which one of the N
        nearest tiles lies within a stride of the truth), ``tiles`` (searched on average), ``n_frames``,
        ``n_draws``, and ``errors_m``, a list for each frame.
    """
    index = TileIndex.build(ground, network, search.tile, search.stride, device)
    rng = np.random.default_rng([seed, 21])
    shape = len(poses), _DRAWS
    errors, rough, ranks, counts = np.zeros(shape), np.zeros(shape), np.full(shape, np.inf), np.zeros(shape)
    for row, (pose, seen) in enumerate(
        track(zip(poses, labels, strict=True), len(poses), "localizing", "frames")
    ):
        truth = np.array(pose.looks_at)
        patch = ground_patch(seen, pose, search.tile, network.pixels, UNKNOWN)
        with torch.inference_mode():
            vector = network(torch.from_numpy(patch)[None].to(device))[0].cpu().numpy()
        for draw in range(_DRAWS):
            angle, reach = rng.uniform(0, 2 * np.pi), search.rough * np.sqrt(rng.uniform())
            given = truth + reach * np.array([np.cos(angle), np.sin(angle)])
            found = index.search(vector, float(given[0]), float(given[1]), search.radius, search.prior)
            off = np.hypot(*(found.positions - truth).T)
            right = np.flatnonzero(off <= search.stride)
            errors[row, draw], rough[row, draw], counts[row, draw] = off[0], reach, len(off)
            ranks[row, draw] = right[0] + 1 if len(right) else np.inf
    return _localized(errors, rough, ranks, counts, seed)


def _localized(
    errors: np.ndarray, rough: np.ndarray, ranks: np.ndarray, counts: np.ndarray, seed: int
) -> dict[str, Any]:
    drawn = np.random.default_rng(seed).integers(len(errors), size=(1000, len(errors)))
    low, high = np.quantile(np.median(errors[drawn].reshape(1000, -1), axis=1), [0.025, 0.975])
    return {
        "mean_m": float(errors.mean()),
        "median_m": float(np.median(errors)),
        "median_ci95": [float(low), float(high)],
        "p90_m": float(np.quantile(errors, 0.9)),
        "rough_median_m": float(np.median(rough)),
        "recall": {str(n): 100 * float(np.mean(ranks <= n)) for n in (1, 5, 10)},
        "tiles": float(counts.mean()),
        "n_frames": len(errors),
        "n_draws": errors.shape[1],
        "errors_m": errors.round(2).tolist(),
    }
