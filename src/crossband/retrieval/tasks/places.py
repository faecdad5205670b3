"""The task ``places``: descriptors of places, by three losses, across any mixture of bands.

Alijani and Rahtu, "Supervised Fine-tuning Evaluation for Long-term Visual Place Recognition", 2021.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from ...bands import Band
from ...checkpoints import load_network, write_checkpoint
from ...data.items import Items, check_apart, make_preprocess, usable_part
from ...data.parts import Data, Name, SplitPair, Strict
from ...data.transforms import Photometry, ViewShift
from ...errors import CrossbandError
from ...files import make_folder, write_file
from ...frames import Frames
from ...losses import ArcFaceLoss, ContrastiveLoss, TripletLoss
from ...losses.domain import BandAdversary
from ...metrics.fcm import PlaceScores, near_mask, place_index, score_matches
from ...metrics.protocol import PositiveMask
from ...models.place_recognizer import PlaceRecognizer, create_place_recognizer
from ...nn.aggregation import NetVLAD
from ...training.distributed import describe
from ...training.recipe import Recipe
from ...training.task import Task, register_task
from ..descriptor_cache import ArrayRows
from ..directions import RouteMatches
from ..mining import mine_tuples
from ..search import distance_blocks, exact_search

__all__ = ["PlaceLoss", "PlaceModel", "PlaceRecipe", "Places", "Sampling"]


class PlaceModel(Strict):
    """What is trained.

    Attributes:
        encoder: a registered encoder.
        layer: where it is cut; its last map by default.
        aggregator: ``gem``, ``netvlad`` or ``mixvpr``.
        options: of the aggregator.
        pretrained: whether the encoder starts from its ImageNet weights.
        train_from: the first layer of the encoder that is trained; all by default.
        freeze_batchnorm: keep BatchNorm's running statistics.
        kmeans_images: images whose local features NetVLAD's centers come from; 100 positions of each.
    """

    encoder: Name = "efficientnet_lite0"
    layer: Name | None = None
    aggregator: Name = "gem"
    options: dict[str, Any] = Field(default_factory=dict)
    pretrained: bool = True
    train_from: Name | None = None
    freeze_batchnorm: bool = True
    kmeans_images: int = Field(default=500, ge=1, le=10_000_000)


class PlaceLoss(Strict):
    """The loss.

    Attributes:
        name: ``contrastive``, ``triplet`` or ``arcface``.
        margin: of that loss; its own default where ``None`` (0.7, 0.1, 0.5).
        scale: of ArcFace.
        class_size: ArcFace's classes are cells of this many meters, or stretches of this many frames.
        band_adversarial: weight of a classifier that tells the band of a descriptor, behind reversed gradients
            (:class:`crossband.losses.domain.BandAdversary`); of queries and positives.
    """

    name: Literal["contrastive", "triplet", "arcface"] = "triplet"
    margin: float | None = Field(default=None, ge=0, le=1e6)
    scale: float = Field(default=64.0, gt=0, le=1e6)
    class_size: float = Field(default=10.0, gt=0, le=1e9)
    band_adversarial: float = Field(default=0.0, ge=0, le=1e6)


class Sampling(Strict):
    """Which images are trained with which.

    Attributes:
        measure: ``meters`` by position, or ``index`` by place in the sequence.
        positive: at most this far is a positive.
        negative: farther than this is a negative.
        itself: whether the query's own image, augmented anew, is a positive too, as where no place was visited
            twice.
        n_negatives: negatives per tuple.
        tuples: tuples, or images for ArcFace, an epoch; 0 takes all.
        refresh: epochs between two computations of the descriptor cache.
        hard: whether negatives are the nearest by descriptor, or random.
    """

    measure: Literal["meters", "index"] = "meters"
    positive: float = Field(default=10.0, gt=0, le=1e9)
    negative: float = Field(default=25.0, gt=0, le=1e9)
    itself: bool = False
    n_negatives: int = Field(default=5, ge=1, le=10_000)
    tuples: int = Field(default=0, ge=0, le=1_000_000_000)
    refresh: int = Field(default=1, ge=1, le=1_000_000)
    hard: bool = True


class Scoring(Strict):
    """How it is measured.

    Attributes:
        measure: ``meters`` or ``index``.
        thresholds: tau of FCM.
        select: the threshold whose FCM on val selects the checkpoint; the smallest where ``None``.
    """

    measure: Literal["meters", "index"] = "meters"
    thresholds: list[Annotated[float, Field(gt=0, le=1e9)]] = Field(
        default_factory=lambda: [25.0, 10.0, 5.0, 2.0], min_length=1, max_length=100
    )
    select: float | None = Field(default=None, gt=0, le=1e9)


class PlaceRecipe(Recipe):
    """A recipe of the task ``places``."""

    data: Data
    model: PlaceModel = PlaceModel()
    loss: PlaceLoss = PlaceLoss()
    sampling: Sampling = Sampling()
    scoring: Scoring = Scoring()


@register_task("places", PlaceRecipe)
class Places(Task):
    """Trains a :class:`~crossband.models.place_recognizer.PlaceRecognizer`.

    Raises:
        CrossbandError: frames, bands or positions that are missing.
    """

    recipe: PlaceRecipe
    network: PlaceRecognizer
    divides = True
    shown = ("fcm/*", "recall/*")

    def __init__(self, recipe: PlaceRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        model = recipe.model
        self.network, self.weights_digest = create_place_recognizer(
            model.encoder,
            model.aggregator,
            layer=model.layer,
            options=model.options,
            pretrained=model.pretrained,
            freeze_batchnorm=model.freeze_batchnorm,
        )
        self.trained_parameters = self.network.set_trainable(recipe.data.size, model.train_from)
        train = _placed(usable_part(recipe.data.train, root), recipe.sampling.measure)
        self.preprocess = make_preprocess(
            recipe.data.size,
            recipe.data.normalization,
            self.network.encoder.statistics,
            measured_on=train if recipe.data.statistics == "measured" else None,
        )
        bands = [*recipe.data.query_bands, *recipe.data.gallery_bands]
        self.items = Items(train, bands, self.preprocess, recipe.data.cache_mb)
        self._query_items = self.items.of_bands(recipe.data.query_bands)
        self._gallery_items = self.items.of_bands(recipe.data.gallery_bands)
        self.classes, self._labels = place_classes(train, recipe.sampling.measure, recipe.loss.class_size)
        self._bands = np.array([[*Band].index(band) for band in self.items.bands], np.int64)
        self.criterion = self._criterion()
        if recipe.loss.band_adversarial:
            adversary = BandAdversary(self.network.dim, len(Band))
            self.criterion = nn.ModuleDict({"match": self.criterion, "bands": adversary})
        select = recipe.scoring.select or min(recipe.scoring.thresholds)
        self.monitor = f"val/fcm@{select:g}"
        self._cache: np.ndarray | None = None
        self._figures: dict[str, float] = {}
        self._pairs: dict[str, _Pair] = {}
        self._matches: dict[str, RouteMatches] = {}
        self._view = ViewShift(recipe.data.view_shift)
        self._light = Photometry(recipe.data.photometry, recipe.data.invert_tir)

    def _criterion(self) -> nn.Module:
        loss = self.recipe.loss
        options = {} if loss.margin is None else {"margin": loss.margin}
        if loss.name == "arcface":
            return ArcFaceLoss(self.network.dim, len(self.classes), loss.scale, **options)
        return ContrastiveLoss(**options) if loss.name == "contrastive" else TripletLoss(**options)

    def check(self) -> None:
        """Check that no query of val is a query of a test set that is here."""
        check_apart(self.recipe.data, self._root, self.recipe.data.query_bands)

    def prepare(self) -> None:
        """Set NetVLAD's centers from local features of training images of all bands."""
        if not self.network.aggregator.wants_samples:
            return
        generator = torch.Generator().manual_seed(self.recipe.seed)
        order = torch.randperm(len(self.items), generator=generator).numpy()
        chosen = order[: self.recipe.model.kmeans_images]
        self.network.eval()
        features = [
            self.network.local_features(self.items.batch(chosen[i : i + 8]), 100, generator)
            for i in range(0, len(chosen), 8)
        ]
        self.network.aggregator.initialize(torch.cat(features), self.recipe.seed)

    def samples(self, epoch: int) -> np.ndarray:
        """Return images for ArcFace; else query, positive and negatives of each tuple."""
        rng = np.random.default_rng([self.recipe.seed, 11, epoch])
        wanted = self.recipe.sampling.tuples
        if self.recipe.loss.name == "arcface":
            order = rng.permutation(len(self.items))
            return _exactly(order, wanted or len(order))[:, None]
        able = self._able_queries()
        chosen = np.sort(_exactly(rng.permutation(able), wanted or len(able)))
        start = time.perf_counter()
        tuples = self._mine(chosen, epoch, rng)
        self._figures = {"mining_seconds": time.perf_counter() - start}
        return rng.permutation(_exactly(tuples, len(chosen)))

    def _able_queries(self) -> np.ndarray:
        """The query items that have a positive at all."""
        near = self._near(self.recipe.sampling.positive)
        own = self._own(self._query_items)
        able = np.zeros(len(self._query_items), bool)
        for start in range(0, len(able), 512):
            block = near.block(start, min(start + 512, len(able)))
            known = np.flatnonzero(own[start : start + 512] >= 0)
            block[known, own[start : start + 512][known]] = False
            able[start : start + 512] = block.any(1)
        if not able.any():
            raise CrossbandError(
                f"no training image has another within {self.recipe.sampling.positive:g} "
                f"({self.recipe.sampling.measure}); raise sampling.positive"
            )
        return np.flatnonzero(able)

    def _near(self, radius: float) -> PositiveMask:
        queries, gallery = (self.items.near_frames(part) for part in (self._query_items, self._gallery_items))
        if self.recipe.sampling.measure == "index":  # the place in the whole sequence, not in this part of it
            index = place_index(self.items.frames)[self.items.rows]
            return PositiveMask(index[self._query_items][:, None], index[self._gallery_items][:, None], radius)
        return near_mask(queries, gallery, radius)

    def _own(self, items: np.ndarray) -> np.ndarray:
        """The gallery row that is the same image and must not be its own positive, or -1."""
        if self.recipe.sampling.itself:
            return np.full(len(items), -1)
        where = np.full(len(self.items), -1)
        where[self._gallery_items] = np.arange(len(self._gallery_items))
        return where[items]

    def _mine(self, rows: np.ndarray, epoch: int, rng: np.random.Generator) -> np.ndarray:
        sampling = self.recipe.sampling
        if self._cache is None or epoch % sampling.refresh == 0:
            if sampling.hard:
                self._cache = describe(self.network, self.items, np.arange(len(self.items)))
            else:
                self._cache = rng.standard_normal((len(self.items), 16), np.float32)
        queries = self._query_items[rows]
        found = mine_tuples(
            self._cache[queries],
            self._cache[self._gallery_items],
            rows,
            self._near(sampling.positive),
            self._near(max(sampling.negative, sampling.positive)),
            self._own(queries),
            n_negatives=sampling.n_negatives,
        )
        gallery = self._gallery_items
        columns = (
            self._query_items[found.queries][:, None],
            gallery[found.positives],
            gallery[found.negatives],
        )
        return np.concatenate(columns, 1)

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Return ``images`` ``(k, 3, H, W)``, and their ``labels`` and ``bands`` ``(k,)``."""
        images = [self.items.augmented(int(i), self._view, self._light, generator) for i in sample]
        labels = torch.from_numpy(self._labels[self.items.rows[sample]])
        bands = torch.from_numpy(self._bands[sample])
        return {"images": torch.stack(images), "labels": labels, "bands": bands}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean over the batch's tuples, or images."""
        images = batch["images"]
        vectors = self.network(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        if not isinstance(self.criterion, nn.ModuleDict):
            return self._match(self.criterion, vectors, batch)
        told = vectors[:, :2].flatten(0, 1)  # queries and positives
        adversary = self.criterion["bands"](told, batch["bands"][:, :2].flatten())
        return (
            self._match(self.criterion["match"], vectors, batch) + self.recipe.loss.band_adversarial * adversary
        )

    def _match(
        self, criterion: nn.Module, vectors: torch.Tensor, batch: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        if self.recipe.loss.name == "arcface":
            return criterion(vectors[:, 0], batch["labels"][:, 0])
        return criterion(vectors[:, 0], vectors[:, 1:2], vectors[:, 2:])

    def images_in(self, sample: np.ndarray) -> list[str]:
        """Return frames and bands."""
        return [self.items.name(int(item)) for item in sample]

    def validate(self) -> dict[str, float]:
        """Return FCM and Recall@N on val."""
        if "val" not in self._pairs:
            self._pairs["val"] = self._pair(self.recipe.data.val)
        scores = self._score(self._pairs["val"])
        found = {f"val/fcm@{tau:g}": value for tau, value in scores.fcm.items()}
        return {**found, **{f"val/recall@{n}": value for n, value in scores.recall.items()}}

    def test(self) -> dict[str, dict[str, Any]]:
        """Return FCM and Recall@N with intervals on each test pair.

        Where the recipe asks for whitened descriptors, the axes are fitted on the training images first.
        """
        self._whiten()
        found = {}
        for name, pair in self.recipe.data.test.items():
            scores, self._matches[name] = self._compare(self._pair(pair))
            found[name] = scores.to_dict()
        return found

    def draw(self, out: Path) -> list[Path]:
        """Draw a map of each test pair's matches, at the threshold of its recall, where positions are known."""
        from ..route_map import plot_route_map

        files = []
        for name, found in self._matches.items() if self.recipe.scoring.measure == "meters" else ():
            figure = plot_route_map(found.queries, found.gallery, found.rows, found.threshold)
            plain = re.sub(r"[^\w.-]+", "_", name)
            file = make_folder(out) / f"map_{plain}.png"
            files.append(write_file(file, partial(figure.savefig, format="png")))
        return files

    def complete(self, checkpoint: Path) -> None:
        """Fit the whitening of the training images' descriptors by the best network, where the recipe asks."""
        head = self.network.aggregator
        if not isinstance(head, NetVLAD) or not head.whiten:
            return
        metadata = load_network(checkpoint, self.network)
        if head.whitening is None:
            self._whiten()
            write_checkpoint(checkpoint, self.network, {**metadata, "dim": self.network.dim})

    def _whiten(self) -> None:
        head = self.network.aggregator
        if isinstance(head, NetVLAD) and head.whiten and head.whitening is None:
            head.fit_whitening(torch.from_numpy(describe(self.network, self.items, np.arange(len(self.items)))))

    def _pair(self, pair: SplitPair) -> _Pair:
        data = self.recipe.data
        queries, gallery = (usable_part(part, self._root) for part in (pair.queries, pair.gallery))
        return _Pair(
            Items(queries, data.query_bands, self.preprocess, data.cache_mb),
            Items(gallery, data.gallery_bands, self.preprocess, data.cache_mb),
        )

    def _score(self, pair: _Pair) -> PlaceScores:
        return self._compare(pair)[0]

    def _compare(self, pair: _Pair) -> tuple[PlaceScores, RouteMatches]:
        vectors = [describe(self.network, part, np.arange(len(part))) for part in (pair.queries, pair.gallery)]
        for part, found in zip((pair.queries, pair.gallery), vectors, strict=True):
            lost = np.flatnonzero(~np.isfinite(found).all(1))
            if len(lost):
                first = part.name(int(lost[0]))
                raise CrossbandError(
                    f"the network gives no numbers for {len(lost)} of {len(found)} images, {first} first; its "
                    "weights are damaged, or diverged in training"
                )
        scoring = self.recipe.scoring
        thresholds = sorted({*scoring.thresholds, scoring.select or min(scoring.thresholds)}, reverse=True)
        queries, gallery = (_with_index(part) for part in (pair.queries, pair.gallery))
        rows = _nearest(vectors[0], vectors[1], queries, gallery, scoring.measure)
        scores = score_matches(rows, queries, gallery, thresholds, scoring.measure, scoring.select)
        return scores, RouteMatches(queries, gallery, rows[:, 0], scores.recall_threshold)

    def metadata(self) -> dict[str, Any]:
        """Return classes, preprocessing with the statistics of each band, and the encoder's weights."""
        return {
            "classes": self.classes,
            "preprocess": self.preprocess.describe(),
            "weights": self.weights_digest,
            "dim": self.network.dim,
        }

    def state(self) -> dict[str, Any]:
        """Return the descriptor cache, where it outlives an epoch."""
        keep = self._cache is not None and self.recipe.sampling.refresh > 1
        return {"cache": torch.from_numpy(self._cache)} if keep else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the descriptor cache."""
        if "cache" in state:
            self._cache = state["cache"].numpy()

    def epoch_figures(self) -> dict[str, float]:
        """Return the seconds spent on mining."""
        return self._figures


class _Pair:
    """A query and a gallery set, read once."""

    def __init__(self, queries: Items, gallery: Items) -> None:
        self.queries, self.gallery = queries, gallery


def place_classes(frames: Frames, measure: str, size: float) -> tuple[list[str], np.ndarray]:
    """Return ArcFace's classes: cells of ``size`` meters, or stretches of ``size`` frames.

    Returns:
        the names of the classes, and the class of each frame, int64 ``(n,)``.

    Example:
        >>> rows = [{"frame": str(i), "rgb": "a.png", "x": 8.0 * i, "y": 0.0} for i in range(3)]
        >>> frames = Frames.make(rows, ".")
        >>> place_classes(frames, "meters", 10.0)
        (['0,0', '1,0'], array([0, 0, 1]))
    """
    mask = near_mask(frames, frames, 1.0, measure)
    cells = np.floor(mask.queries.astype(float) / size).astype(np.int64)
    unique, labels = np.unique(cells, axis=0, return_inverse=True)
    return [",".join(map(str, cell)) for cell in unique.tolist()], labels.reshape(-1)


def _placed(frames: Frames, measure: str) -> Frames:
    """The frames whose place is known, with their index where the place is one."""
    if measure == "index":
        return frames.assign(index=place_index(frames))
    mask = near_mask(frames, frames, 1.0, measure)
    return frames.select(np.isfinite(mask.queries.astype(float)).all(1))


def _with_index(items: Items) -> Frames:
    frames = items.near_frames(np.arange(len(items)))
    table = frames.table.assign(index=place_index(items.frames)[items.rows])
    return Frames(table, frames.root)


def _nearest(
    mine: np.ndarray, theirs: np.ndarray, queries: Frames, gallery: Frames, measure: str, k: int = 10
) -> np.ndarray:
    """The ``k`` nearest gallery rows of each query; of equally near ones those come first that lie farthest
    from the query's place, so that a tie counts against the network as it does in ``benchmark``."""
    distances, rows = exact_search(ArrayRows(mine), ArrayRows(theirs), k + 1)
    tied = np.flatnonzero((np.diff(distances, axis=1) <= 0).any(1))
    if len(tied):
        places = near_mask(queries, gallery, 1.0, measure)
        for query, (_, block) in zip(tied, _rows_of(mine[tied], theirs), strict=True):
            away = np.square(places.queries[query].astype(float) - places.gallery).sum(1)
            rows[query] = np.lexsort((-np.nan_to_num(away, nan=np.inf), block))[: rows.shape[1]]
    return rows[:, :k]


def _rows_of(mine: np.ndarray, theirs: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start, block in distance_blocks(ArrayRows(mine), ArrayRows(theirs)):
        yield from enumerate(block, start)


def _exactly(rows: np.ndarray, n: int) -> np.ndarray:
    """``n`` rows: the first ones, or all of them over and over."""
    return rows[np.arange(n) % len(rows)]
