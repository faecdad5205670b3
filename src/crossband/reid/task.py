"""The task ``reidentification``: identities across cameras and bands, by streams that share no weights.

Li et al., "Multi-Spectral Vehicle Re-Identification: A Challenge", AAAI 2020. ``data.bands`` may be any list:
one band is the one-stream baseline; several with no further loss are MSN; with ``loss.coherence`` and
``loss.class_aware`` they are HAMNet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from ..bands import parse_band
from ..data.items import FrameItems, check_apart, make_preprocess, part_frames, usable_part
from ..data.parts import Data, Name, Part, Side, SplitPair, Strict, known
from ..data.transforms import Erase, Flip, PaddedCrop, Photometry, ViewShift
from ..errors import CrossbandError
from ..frames import Frames
from ..losses import StreamsLoss
from ..metrics.reid import REID_PROTOCOLS, reid_labels
from ..models import create_streams
from ..models.streams import Streams
from ..progress import note
from ..training.recipe import Recipe
from ..training.task import Task, register_task
from .describe import Emphasis, describe_frames
from .evaluation import FrameVectors, ReidEvaluation, evaluate_bands, score_sets
from .k_reciprocal import rerank_blocks

__all__ = ["ReidData", "ReidLoss", "ReidModel", "ReidRecipe", "ReidSampling", "Reidentification"]


class ReidData(Data):
    """Which frames, bands and pixels.

    Attributes:
        bands: a stream each.
        query_bands: whose features are summed at the query for the score that selects; all of ``bands`` where
            empty.
        gallery_bands: likewise at the gallery.
        crop: pixels of black put around an image before a crop of its own size is taken.
        flip: share of the frames that are mirrored.
        erase: share of the frames in which a rectangle is painted over, in all bands.
    """

    bands: list[str] = Field(default_factory=lambda: ["rgb"], min_length=1)
    query_bands: list[str] = Field(default_factory=list)
    gallery_bands: list[str] = Field(default_factory=list)
    size: tuple[Side, Side] = (128, 256)
    crop: int = Field(default=10, ge=0, le=8192)
    flip: float = Field(default=0.5, ge=0, le=1)
    erase: float = Field(default=0.0, ge=0, le=1)

    @field_validator("bands", "query_bands", "gallery_bands")
    @classmethod
    def _known(cls, bands: list[str]) -> list[str]:
        return list(dict.fromkeys(parse_band(band).value for band in bands))

    @model_validator(mode="after")
    def _of_the_streams(self) -> Self:
        for band in (*self.query_bands, *self.gallery_bands):
            if band not in self.bands:
                raise CrossbandError(f"no stream of {band}; data.bands has {', '.join(self.bands)}")
        return self

    @property
    def columns(self) -> tuple[list[int], list[int]]:
        """The positions in ``bands`` of the query's and of the gallery's bands."""
        mine, theirs = (part or self.bands for part in (self.query_bands, self.gallery_bands))
        return [self.bands.index(band) for band in mine], [self.bands.index(band) for band in theirs]


class ReidModel(Strict):
    """What is trained.

    Attributes:
        stream: ``ide`` (the one-stream baseline, MSN and HAMNet), ``cosine``, ``pcb``, ``mgn`` or ``abd``.
        encoder: a registered encoder; each band has its own.
        layer: where it is cut; its last map by default.
        options: of the stream.
        pretrained: whether the encoders start from their ImageNet weights.
        freeze_batchnorm: keep BatchNorm's running statistics.
        train_from: the first layer of the encoders that is trained; all by default.
        shared: one network reads all bands, each behind a small layer of its own, so that features of two
            bands can be compared; see :class:`~crossband.models.streams.SharedStreams`.
    """

    stream: Name = "ide"
    encoder: Name = "resnet50"
    layer: Name | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    pretrained: bool = True
    freeze_batchnorm: bool = False
    train_from: Name | None = None
    shared: bool = False


class ReidLoss(Strict):
    """The loss; see :class:`crossband.losses.StreamsLoss`.

    Attributes:
        coherence: weight of equation (5), 0 in MSN, 0.001 in HAMNet.
        class_aware: weight of equation (12), 0 in MSN, 1 in HAMNet.
        triplet: weight of the batch-hard triplet loss; needs ``sampling.identities``.
        margin: of the triplet loss.
        contrast: weight of the contrastive loss over the images of all bands and sums of bands; likewise.
    """

    coherence: float = Field(default=0.0, ge=0, le=1e6)
    class_aware: float = Field(default=0.0, ge=0, le=1e6)
    triplet: float = Field(default=0.0, ge=0, le=1e6)
    margin: float = Field(default=0.3, gt=0, le=1e6)
    contrast: float = Field(default=0.0, ge=0, le=1e6)


class ReidSampling(Strict):
    """Which frames make a batch.

    Attributes:
        each: frames of an identity that come together, so that every batch has several of each of its
            identities; 0 shuffles all frames.
    """

    each: int = Field(default=0, ge=0, le=65_536)


class ReidScoring(Strict):
    """How it is measured.

    Attributes:
        protocol: of :data:`crossband.metrics.reid.REID_PROTOCOLS`.
        ranks: of the CMC figures.
        select: what selects the checkpoint on val, ``mAP``, ``mINP`` or ``rank1``.
        descriptor: what is compared, ``features`` as in the paper, or the ``scores`` of the identities trained
            on, which speak of the same things in every band.
        rerank: also measure the recipe's bands re-ranked by k-reciprocal neighbors, in tests.
        dark: RGB and NIR images darker than this share of full scale count only where there is nothing else;
            see :class:`.Emphasis`.
        weights: of bands beside one another; 1 for one that is not named.
        mirror: whether mirror images are described too; takes twice as long.
    """

    protocol: Annotated[str, known("protocol", REID_PROTOCOLS)] = "same-camera"
    ranks: list[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(default_factory=lambda: [1, 5, 10])
    select: Literal["mAP", "mINP", "rank1"] = "mAP"
    descriptor: Literal["features", "scores"] = "features"
    rerank: bool = False
    dark: float = Field(default=0.0, ge=0, le=1)
    weights: dict[Literal["rgb", "nir", "tir"], Annotated[float, Field(gt=0, le=100)]] = Field(
        default_factory=dict
    )
    mirror: bool = False


class ReidRecipe(Recipe):
    """A recipe of the task ``reidentification``."""

    data: ReidData
    model: ReidModel = ReidModel()
    loss: ReidLoss = ReidLoss()
    sampling: ReidSampling = ReidSampling()
    scoring: ReidScoring = ReidScoring()


@register_task("reidentification", ReidRecipe)
class Reidentification(Task):
    """Trains a :class:`~crossband.models.streams.Streams`.

    Raises:
        CrossbandError: frames, bands or identities that are missing.
    """

    recipe: ReidRecipe
    network: Streams
    shown = ("mAP", "mINP", "rank/*", "reranked/mAP")

    def __init__(self, recipe: ReidRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        data, model, loss = recipe.data, recipe.model, recipe.loss
        train = _trainable(usable_part(data.train, root), data.bands)
        names, self._labels = np.unique(train.table["identity"].to_numpy(str), return_inverse=True)
        self.classes = names.tolist()
        self.network, self.weights_digest = create_streams(
            data.bands,
            len(self.classes),
            model.stream,
            model.encoder,
            layer=model.layer,
            size=data.size,
            options=model.options,
            pretrained=model.pretrained,
            freeze_batchnorm=model.freeze_batchnorm,
            train_from=model.train_from,
            shared=model.shared,
        )
        measured = train if data.statistics == "measured" else None
        self.preprocess = make_preprocess(
            data.size, data.normalization, self.network.statistics, measured_on=measured
        )
        self.items = FrameItems(train, data.bands, self.preprocess, data.cache_mb)
        self.criterion = StreamsLoss(loss.coherence, loss.class_aware, loss.triplet, loss.margin, loss.contrast)
        self.monitor = f"val/{recipe.scoring.select}"
        self._geometry = (ViewShift(data.view_shift), PaddedCrop(data.crop), Flip(data.flip), Erase(data.erase))
        self._light = Photometry(data.photometry, data.invert_tir)
        self._described: dict[str, FrameItems] = {}
        self._measured: dict[str, ReidEvaluation] = {}
        self._unreadable: set[tuple[int, int]] = set()
        if (loss.triplet or loss.contrast) and recipe.sampling.each < 2:
            name = "triplet" if loss.triplet else "contrast"
            raise CrossbandError(
                f"loss.{name} needs several frames per identity; set sampling.each, for example to 4"
            )

    def check(self) -> None:
        """Check that val and the test sets share no query, and that val can be scored."""
        data = self.recipe.data
        check_apart(data, self._root, data.bands)
        val = part_frames(data.val.queries, self._root)
        reid_labels(val, part_frames(data.val.gallery, self._root), self.recipe.scoring.protocol)

    def samples(self, epoch: int) -> np.ndarray:
        """Return all frames in a random order, or with several of an identity together."""
        rng = np.random.default_rng([self.recipe.seed, 17, epoch])
        each = self.recipe.sampling.each
        order = rng.permutation(len(self.items)) if not each else balanced_order(self._labels, each, rng)
        return order[:, None]

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Read ``images`` ``(m, 3, H, W)``, which are ``present`` ``(m,)``, ``label`` and ``frame``."""
        row = int(sample[0])
        images, present = self.items.tensor(row, self._geometry, self._light, generator)
        label = torch.tensor(int(self._labels[row]))
        return {"images": images, "present": present, "label": label, "frame": torch.tensor(row)}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean over the batch's frames.

        A band that could not be read does not count, with one note.
        """
        self._watch(batch["frame"].cpu().numpy(), batch["present"].cpu().numpy())
        return self.criterion(self.network(batch["images"], batch["present"]), batch["label"])

    def _watch(self, frames: np.ndarray, present: np.ndarray) -> None:
        rows, columns = np.nonzero(self.items.listed[frames] & ~present)
        for row, column in zip(frames[rows].tolist(), columns.tolist(), strict=True):
            if (row, column) not in self._unreadable:
                self._unreadable.add((row, column))
                name, band = self.items.frames.names[row], self.recipe.data.bands[column]
                note(f"{name} ({band}) cannot be read and is left out; crossband data check says why")

    def images_in(self, sample: np.ndarray) -> list[str]:
        """Return the frame."""
        return [self.items.frames.names[int(row)] for row in sample]

    def validate(self) -> dict[str, float]:
        """Return mAP, mINP and CMC on val, of the recipe's bands."""
        pair, scoring = self.recipe.data.val, self.recipe.scoring
        (queries, gallery), frames = self._vectors(pair), self._frames(pair)
        labels = reid_labels(*frames, scoring.protocol)
        scores, _, _ = score_sets(
            queries, gallery, self.recipe.data.columns, labels, scoring.protocol, scoring.descriptor
        )
        found = {"val/mAP": scores.mean_ap, "val/mINP": scores.mean_inp}
        return {**found, **{f"val/rank{k}": scores.rank(k) for k in {1, *scoring.ranks}}}

    def test(self) -> dict[str, dict[str, Any]]:
        """Evaluate each test pair in one pass; see :class:`.ReidEvaluation`."""
        scoring, found = self.recipe.scoring, {}
        for name, pair in self.recipe.data.test.items():
            vectors = self._vectors(pair)
            self._measured[name] = self.measure(pair, vectors)
            found[name] = self._measured[name].to_dict(scoring.ranks)
            if scoring.rerank:
                labels = reid_labels(*self._frames(pair), scoring.protocol)
                scores, _, _ = score_sets(
                    *vectors,
                    self.recipe.data.columns,
                    labels,
                    scoring.protocol,
                    scoring.descriptor,
                    blocks=rerank_blocks,
                )
                found[name]["reranked"] = scores.to_dict(scoring.ranks)
        return found

    def draw(self, out: Path) -> list[Path]:
        """Draw the CMC of each test pair, and how often each challenge occurs in it."""
        from .figures import draw_evaluation

        data = self.recipe.data.test
        return [
            file
            for name, found in self._measured.items()
            for file in draw_evaluation(found, self._frames(data[name]), name, out)
        ]

    def measure(
        self, pair: SplitPair, vectors: tuple[FrameVectors, FrameVectors] | None = None
    ) -> ReidEvaluation:
        """Evaluate every set of bands against every other on a pair, and note what was dropped."""
        data, frames = self.recipe.data, self._frames(pair)
        queries, gallery = vectors or self._vectors(pair)
        headline = (data.query_bands or data.bands, data.gallery_bands or data.bands)
        scoring = self.recipe.scoring
        found = evaluate_bands(
            data.bands, queries, gallery, *frames, scoring.protocol, headline, scoring.descriptor
        )
        _say(found, self._items(pair.queries), self._items(pair.gallery), self.recipe.scoring.ranks)
        return found

    def _vectors(self, pair: SplitPair) -> tuple[FrameVectors, FrameVectors]:
        emphasis = Emphasis.of(self.recipe.scoring.model_dump())
        queries = describe_frames(self.network, self._items(pair.queries), emphasis=emphasis)
        if pair.gallery == pair.queries:
            return queries, queries
        return queries, describe_frames(self.network, self._items(pair.gallery), emphasis=emphasis)

    def _frames(self, pair: SplitPair) -> tuple[Frames, Frames]:
        return self._items(pair.queries).frames, self._items(pair.gallery).frames

    def _items(self, part: Part) -> FrameItems:
        key = part.model_dump_json()
        if key not in self._described:
            data = self.recipe.data
            frames = usable_part(part, self._root)
            self._described[key] = FrameItems(frames, data.bands, self.preprocess, data.cache_mb)
        return self._described[key]

    def metadata(self) -> dict[str, Any]:
        """Return identities, preprocessing with the statistics of each band, and the encoders' weights."""
        return {
            "classes": self.classes,
            "preprocess": self.preprocess.describe(),
            "weights": self.weights_digest,
            "bands": self.recipe.data.bands,
        }

    def epoch_figures(self) -> dict[str, float]:
        """Return bands that frames lack, and images that could not be read so far."""
        lacking = int((~self.items.listed).sum())
        return {"missing_bands": float(lacking), "unreadable_images": float(len(self._unreadable))}


def balanced_order(labels: np.ndarray, each: int, rng: np.random.Generator) -> np.ndarray:
    """Order rows in groups of ``each`` of one identity.

    As many identities as there are come before one comes again; identities with too few frames repeat some. The
    length is the same for every generator.

    Example:
        >>> order = balanced_order(np.array([0, 0, 0, 1, 1, 2]), 2, np.random.default_rng(0))
        >>> np.array([0, 0, 0, 1, 1, 2])[order].reshape(-1, 2).tolist()
        [[0, 0], [2, 2], [1, 1], [0, 0]]
    """
    groups: list[list[np.ndarray]] = []
    for identity in range(int(labels.max()) + 1):
        rows = rng.permutation(np.flatnonzero(labels == identity))
        n = -(-len(rows) // each) * each
        groups.append(list(rows[np.arange(n) % len(rows)].reshape(-1, each)) if len(rows) else [])
    rounds = [
        groups[identity][turn]
        for turn in range(max(map(len, groups)))
        for identity in rng.permutation([i for i, mine in enumerate(groups) if len(mine) > turn])
    ]
    return np.concatenate(rounds)


def _trainable(frames: Frames, bands: list[str]) -> Frames:
    """The frames with an identity and any of the bands; how many have not is said."""
    if not frames.has("identity"):
        raise CrossbandError("re-identification needs the column 'identity', which these frames lack")
    known = frames.table["identity"].notna().to_numpy(bool)
    seen = np.zeros(len(frames), bool)
    for band in bands:
        if band in frames.table:
            seen |= frames.table[band].notna().to_numpy(bool)
    if not (known & seen).any():
        raise CrossbandError(
            f"no training frames have both an identity and any of the bands {', '.join(bands)}"
        )
    for mask, what in ((known, "an identity"), (seen, "any of the bands")):
        if not mask.all():
            note(f"{int((~mask).sum())} of {len(frames)} training frames are left out: they lack {what}")
    return frames.select(known & seen)


def _say(found: ReidEvaluation, queries: FrameItems, gallery: FrameItems, ranks: list[int]) -> None:
    """What was kept and what was dropped, on standard error."""
    counts = found.scores.counts()
    note(
        f"protocol {counts['protocol']} (drops {counts['drops']}): {counts['n_queries']} queries kept, "
        f"{counts['n_without_positive']} without their identity in the gallery, {counts['n_only_junk']} with "
        f"nothing left of it, {counts['n_junk_pairs']} pairs left out, {counts['n_gallery']} gallery frames"
    )
    if max(ranks) > counts["n_gallery"]:
        note(f"the gallery is smaller than rank {max(ranks)}, which then covers all of it")
    parts = {"queries": queries} | ({} if gallery is queries else {"gallery": gallery})
    for what, items in parts.items():
        lacking = int((~items.listed).sum())
        if lacking or items.faults:
            note(f"{what}: {lacking} bands are missing and {len(items.faults)} images cannot be read")
            for fault in list(items.faults.values())[:5]:
                note(f"  {fault}")
