"""The task ``detection``: objects in thermal images, with or without the map's labeling.

See :mod:`crossband.models.center_detector` and :mod:`crossband.models.yolo_semantic`, and their losses.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from ...bands import Units
from ...data.parts import Name, Strict
from ...data.scenes import Crop, Scenes, middle_of, sides_of, zoomed
from ...frames import Frames
from ...io.boxes import read_boxes
from ...losses.center import center_loss
from ...losses.yolo import yolo_loss
from ...metrics.detection import score_detections
from ...models.center_detector import CenterDetector
from ...models.yolo_semantic import YoloSemantic
from ...progress import track
from ...training.scene_task import SceneRecipe, SceneTask
from ...training.task import register_task
from ..flight import enlargement, meters_a_pixel, poses_of
from ..ground_classes import GROUND
from ..projection import Pose
from ..semantic_map import SemanticMap, read_map

__all__ = [
    "DetectionModel",
    "DetectionRecipe",
    "DetectionTask",
    "build_detector",
    "fitted_priors",
    "semantic_planes",
]

_PADDED = 100  # true boxes of a crop, at most
Repeat = Annotated[int, Field(ge=1, le=64)]


class DetectionModel(Strict):
    """The network.

    Attributes:
        name: ``yolo_semantic`` (:class:`crossband.models.yolo_semantic.YoloSemantic`), or ``center``
            (:class:`crossband.models.center_detector.CenterDetector`), which has an ImageNet encoder, or
            ``center_map``, the same reading the map's labeling too.
        semantics: ``yolo_semantic``: whether the map's labeling is read too.
        width: channels: of YOLO's first convolution, 32 in the paper; of the top-down path of ``center``.
        repeats: ``yolo_semantic``: residual blocks of Darknet's scales.
        priors: ``yolo_semantic``: prior boxes of each scale.
        encoder: ``center`` (and ``center_map``): a registered encoder with four stages.
        frozen: ``center``: stages of the encoder that do not learn.
        pretrained: ``center``: whether the encoder starts from its ImageNet weights.
        zoom: how much images are enlarged before; crops (``data.scales``) should be about as much.
        mirror: ``center``: whether mirror images are looked at too when objects are detected, twice as long.
        finest: meters of ground that a pixel may show: frames whose height and focal length are known and that
            show more in one are enlarged, and their crops, by :func:`crossband.uav.flight.enlargement`.
        levels: what a unit of the thermal image is: 12 ``kelvin``, where there are temperatures, or a quarter
            of the image's own ``range``, so that all cameras look alike.
    """

    name: Literal["yolo_semantic", "center", "center_map"] = "yolo_semantic"
    semantics: bool = True
    width: int = Field(default=32, ge=2, le=4096)
    repeats: tuple[Repeat, Repeat, Repeat, Repeat, Repeat] = (1, 2, 8, 8, 4)
    priors: int = Field(default=1, ge=1, le=100)
    encoder: Name = "efficientnet_lite0"
    frozen: int = Field(default=1, ge=0, le=4)
    pretrained: bool = True
    zoom: float = Field(default=1.0, gt=0, le=4)
    mirror: bool = False
    finest: float | None = Field(default=None, gt=0, le=1000)
    levels: Literal["kelvin", "range"] = "kelvin"


class DetectionLoss(Strict):
    """How it learns.

    Attributes:
        fits: priors within this factor of an object answer for it besides the best; 0 for none.
        mosaic: share of the samples that are four crops in one; off by default.
        meters: standard error that the position on the map is given while training.
        around: share of the crops that are drawn around an object.
        balance: how much more often rare classes are seen: frames, and the objects that crops are drawn
            around, are chosen by their class's count to the power of minus this; 0 takes all alike.
        light: strength of random gain, offset and noise of the thermal image.
    """

    fits: float = Field(default=2.5, ge=0, le=1e3)
    mosaic: float = Field(default=0.0, ge=0, le=1)
    meters: float = Field(default=3.0, ge=0, le=1e6)
    around: float = Field(default=0.5, ge=0, le=1)
    balance: float = Field(default=0.0, ge=0, le=1)
    light: float = Field(default=0.0, ge=0, le=1)


class DetectionRecipe(SceneRecipe):
    """A recipe of the task ``detection``.

    A network that reads the map takes ``map`` of the nearest folder above an image, in that of the frames: each
    city has its own.

    Attributes:
        least: score of a detection, at least, where mAP is measured.
    """

    model: DetectionModel = DetectionModel()
    loss: DetectionLoss = DetectionLoss()
    least: float = Field(default=0.01, gt=0, lt=1)


@register_task("detection", DetectionRecipe)
class DetectionTask(SceneTask):
    """Trains a detector."""

    recipe: DetectionRecipe
    network: YoloSemantic | CenterDetector
    needs = ("tir", "boxes")
    monitor = "val/map50"
    divides = True
    shown = ("map", "map50", "ap50/*")

    def __init__(self, recipe: DetectionRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        model = recipe.model
        self.classes = read_boxes(self.train.frames).classes
        boxes = np.concatenate(self.train.boxes)
        zooms = [self._zoom(self.train, row) for row in range(len(self.train))]
        read = np.concatenate([sides_of(b) * zoom for b, zoom in zip(self.train.boxes, zooms, strict=True)])
        priors = fitted_priors(read, model.priors)
        self.network = build_detector(model, len(self.classes), priors)
        self._reads_map = self.network.semantics > 0
        self._priors = priors if isinstance(self.network, YoloSemantic) else []
        counts = np.bincount(boxes[:, 4].astype(int), minlength=len(self.classes)).clip(min=1)
        self._rarity = (counts / counts.max()) ** -recipe.loss.balance
        self.criterion: nn.Module = nn.Identity()
        self._maps: dict[Path, SemanticMap] = {}
        self._poses: dict[tuple[int, int], Pose] = {}

    def check(self) -> None:
        """Check too, where the network reads the map, that each city has one that its frames lie on."""
        super().check()
        if not self._reads_map:
            return
        for scenes in (self.train, self.val):
            frames = scenes.frames
            cities = [_city_of(frames.root, image) for image in frames.table["tir"].astype(str)]
            for city in dict.fromkeys(cities):
                mine = frames.select(np.array([one == city for one in cities]))
                _check_on(mine, self._map(city))

    def _map(self, city: Path) -> SemanticMap:
        if city not in self._maps:
            self._maps[city] = read_map(city)
        return self._maps[city]

    def _ground(self, scenes: Scenes, row: int, size: tuple[int, int]) -> tuple[SemanticMap, Pose]:
        """The map of a frame's city, and the pose of the frame, of (height, width), in it."""
        frames = scenes.frames
        ground = self._map(_city_of(frames.root, str(frames.table["tir"].iloc[row])))
        if (key := (id(scenes), row)) not in self._poses:
            self._poses[key] = poses_of(frames.select(slice(row, row + 1)), ground, size)[0]
        return ground, self._poses[key]

    def _image(self, scenes: Scenes, row: int, off: np.ndarray | None = None) -> torch.Tensor:
        """What the network reads of a frame, ``(1 or 1 + K, H, W)``; ``off`` moves the position, meters."""
        thermal = scenes.thermal(row, Units.COUNTS if self.recipe.model.levels == "range" else None)
        if not self._reads_map:
            return thermal
        ground, pose = self._ground(scenes, row, (thermal.shape[-2], thermal.shape[-1]))
        moved = pose if off is None else pose.moved(pose.x + float(off[0]), pose.y + float(off[1]))
        return torch.cat([thermal, semantic_planes(ground.seen_by(moved))])

    def _zoom(self, scenes: Scenes, row: int) -> float:
        """How much a frame is enlarged."""
        model, table = self.recipe.model, scenes.frames.table
        if model.finest is None:
            return model.zoom
        said = {name: table[name].iloc[row] for name in ("altitude", "focal", "pitch") if name in table}
        given = pd.to_numeric(pd.Series({"pitch": -90.0, **said}), errors="coerce")  # straight down if untold
        known = given.notna().all() and len(given) == 3 and given["altitude"] > 0 and given["focal"] > 0
        meters = meters_a_pixel(given["altitude"], given["pitch"], given["focal"]) if known else None
        return enlargement(model.zoom, model.finest, meters)

    def samples(self, epoch: int) -> np.ndarray:
        """List frames in random order; those of rare classes more often where the recipe says so."""
        if not self.recipe.loss.balance:
            return super().samples(epoch)
        rng = np.random.default_rng([self.recipe.seed, 11, epoch])
        share = np.array([self._rarity[boxes[:, 4].astype(int)].max(initial=1.0) for boxes in self.train.boxes])
        count = len(self.train) * self.recipe.data.crops
        return rng.choice(len(self.train), count, p=share / share.sum())[:, None]

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Read ``image`` ``(C, s, s)``, ``boxes`` ``(100, 5)``: class (-1: none), xyxy, and ``crowds``."""
        if float(torch.rand((), generator=generator)) >= self.recipe.loss.mosaic:
            return self._one(int(sample[0]), self.recipe.data.size, generator)
        side = self.recipe.data.size // 2
        others = torch.randint(len(self.train), (3,), generator=generator).tolist()
        parts = [self._one(row, side, generator) for row in (int(sample[0]), *others)]
        images = [part["image"] for part in parts]
        image = torch.cat([torch.cat(images[:2], -1), torch.cat(images[2:], -1)], -2)
        corners = [torch.tensor([0, x, y, x, y]) for x, y in ((0, 0), (side, 0), (0, side), (side, side))]
        moved = {
            name: torch.cat([p[name][p[name][:, 0] >= 0] + at for p, at in zip(parts, corners, strict=True)])
            for name in ("boxes", "crowds")
        }
        return {"image": image, **{name: _padded(boxes) for name, boxes in moved.items()}}

    def _one(self, row: int, size: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        off = torch.randn(2, generator=generator).numpy() * self.recipe.loss.meters
        image, boxes = self._image(self.train, row, off), self.train.boxes[row]
        around = None
        if len(boxes) and float(torch.rand((), generator=generator)) < self.recipe.loss.around:
            weights = torch.from_numpy(self._rarity[boxes[:, 4].astype(int)])
            around = middle_of(boxes[int(torch.multinomial(weights, 1, generator=generator))])
        data, zoom = self.recipe.data, self._zoom(self.train, row) / self.recipe.model.zoom
        scales = (zoom * data.scales[0], zoom * data.scales[1])
        crop = Crop.draw(image.shape, size, scales, generator, around, data.turns)
        lit = _lit(crop(image), self.recipe.loss.light, generator)
        crowds = crop_boxes(crop, self.train.crowds[row], least=0)
        return {"image": lit, "boxes": _padded(crop_boxes(crop, boxes)), "crowds": _padded(crowds)}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """See :mod:`crossband.losses.center` and :mod:`crossband.losses.yolo`."""
        targets = _with_images(batch["boxes"])
        outputs = self.network(batch["image"])
        crowds = _with_images(batch["crowds"])
        if isinstance(self.network, CenterDetector):
            return center_loss(self.network, outputs, targets, crowds)
        return yolo_loss(self.network, outputs, targets, self.recipe.loss.fits, crowds)

    def detections(self, scenes: Scenes) -> list[np.ndarray]:
        """Detect objects, ``(n, 6)`` per frame: left, top, right, bottom in pixels, score, class."""
        found = []
        with self.measuring():
            for row in track(range(len(scenes)), len(scenes), "detecting", "frames"):
                zoom = self._zoom(scenes, row)
                image = zoomed(self._image(scenes, row), zoom)[None].to(self.device)
                boxes = self.network.detect(image, self.recipe.least)[0].cpu().numpy()
                boxes[:, :4] /= zoom
                found.append(boxes)
        return found

    def score(self, scenes: Scenes) -> dict[str, Any]:
        """Compute COCO's mAP; see :mod:`crossband.metrics.detection`."""
        truth = read_boxes(scenes.frames)
        mine = {name.casefold(): place for place, name in enumerate(self.classes)}
        number = [mine.get(name.casefold(), -1) for name in truth.classes]

        def own(images: list[np.ndarray]) -> list[np.ndarray]:
            """With the detector's numbers of classes, without what it has no class for."""
            kinds = [np.array([number[int(kind)] for kind in boxes[:, 4]]) for boxes in images]
            named = [np.column_stack([b[:, :4], kind]) for b, kind in zip(images, kinds, strict=True)]
            return [boxes[boxes[:, 4] >= 0] for boxes in named]

        found = self.detections(scenes)
        return score_detections(found, own(truth.rows), self.classes, own(truth.crowds)).to_dict()

    def metadata(self) -> dict[str, Any]:
        """Return the classes, the prior boxes, and the units of the thermal images."""
        units = sorted({units or "counts" for units in self.train.frames.units()})
        if self.recipe.model.levels == "range":
            units = ["counts"]
        return {"classes": self.classes, "priors": self._priors, "units": units}


def build_detector(
    model: DetectionModel, classes: int, priors: list[list[list[float]]], pretrained: bool = True
) -> YoloSemantic | CenterDetector:
    """Build the network of a recipe.

    Args:
        model: of the recipe.
        classes: of objects.
        priors: see :func:`fitted_priors`; ``center`` has none.
        pretrained: ``False`` for one whose weights are to be loaded.
    """
    if model.name in ("center", "center_map"):
        read = len(GROUND) if model.name == "center_map" else 0
        pretrained = pretrained and model.pretrained
        return CenterDetector(classes, model.encoder, model.width, model.frozen, pretrained, read, model.mirror)
    return YoloSemantic(classes, len(GROUND) if model.semantics else 0, priors, model.width, model.repeats)


def _city_of(root: Path, image: str) -> Path:
    """The nearest folder above an image, up to that of the frames, with a map in it; else the latter."""
    inside = [root / part for part in Path(image).parents]
    return next((folder for folder in inside if (folder / "map" / "tiles.json").is_file()), root)


def _check_on(frames: Frames, ground: SemanticMap) -> None:
    """Check that each frame says where it is, and is no farther from the map than it sees."""
    poses = poses_of(frames, ground, (1, 1))
    if len(poses) < len(frames):  # the first that lacks something says what
        poses = [poses_of(frames.select(slice(row, row + 1)), ground, (1, 1))[0] for row in range(len(frames))]
    for pose in poses:
        x, y = pose.looks_at
        ground.check_near(pose.x, pose.y, pose.altitude + math.hypot(x - pose.x, y - pose.y))


def semantic_planes(labels: np.ndarray) -> torch.Tensor:
    """Split labels into one channel per class of the ground, float32 ``(K, H, W)``.

    Unknown pixels are 0 in all.
    """
    known = torch.from_numpy(labels.astype(np.int64))
    return F.one_hot(known.clamp(max=len(GROUND)), len(GROUND) + 1)[..., :-1].permute(2, 0, 1).float()


def fitted_priors(sides: np.ndarray, count: int) -> list[list[list[float]]]:
    """Fit prior boxes of three scales, from small to large.

    Quantiles of the objects' areas, mean sides of each part.

    Args:
        sides: ``(n, 2)`` widths and heights.
        count: boxes of each scale.

    Example:
        >>> fitted_priors(np.array([[8.0, 8.0], [20.0, 10.0], [40.0, 40.0]]), 1)
        [[[8.0, 8.0]], [[20.0, 10.0]], [[40.0, 40.0]]]
    """
    order = np.argsort(sides.prod(1), kind="stable")
    parts = np.array_split(sides[order], 3 * count)
    means = [part.mean(0) if len(part) else sides.mean(0) for part in parts]
    return [[[float(w), float(h)] for w, h in means[i * count : (i + 1) * count]] for i in range(3)]


def crop_boxes(crop: Crop, boxes: np.ndarray, least: float = 0.4) -> torch.Tensor:
    """Return the boxes in a crop, float32 ``(n, 5)``: class, left, top, right, bottom in its pixels.

    Boxes of which no more than the share ``least`` is left are dropped.
    """
    if not len(boxes):
        return torch.zeros(0, 5)
    corners = boxes[:, :4] - np.array([crop.left, crop.top] * 2, np.float32)
    clipped = corners.clip(0, crop.side)
    kept = sides_of(clipped).prod(1) > least * sides_of(corners).prod(1)
    x0, y0, x1, y1 = clipped[kept].T
    for _ in range(crop.turns):  # a quarter counterclockwise: (x, y) -> (y, side - x)
        x0, y0, x1, y1 = y0, crop.side - x1, y1, crop.side - x0
    if crop.mirrored:
        x0, x1 = crop.side - x1, crop.side - x0
    scaled = np.stack([x0, y0, x1, y1], 1) * (crop.size / crop.side)
    return torch.from_numpy(np.concatenate([boxes[kept, 4:5], scaled], 1).astype(np.float32))


def _lit(image: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """The thermal channel, the first, with another gain (up to 1.5 times), offset and noise; labels stay."""
    if not strength:
        return image
    gain, offset, noise = torch.randn(3, generator=generator).clamp(-2, 2).tolist()
    thermal = image[:1] * 1.5 ** (0.5 * strength * gain) + 0.3 * strength * offset
    grain = torch.randn(thermal.shape, generator=generator) * 0.05 * strength * abs(noise)
    return torch.cat([thermal + grain, image[1:]])


def _with_images(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes of a batch, ``(B, 100, 5)``, as ``(n, 6)``: the image's number first, without those of no class."""
    image = torch.arange(len(boxes), device=boxes.device)[:, None, None].expand(-1, boxes.shape[1], 1)
    return torch.cat([image.to(boxes.dtype), boxes], -1)[boxes[..., 0] >= 0]


def _padded(boxes: torch.Tensor) -> torch.Tensor:
    out = torch.full((_PADDED, 5), -1.0)
    out[: min(len(boxes), _PADDED)] = boxes[:_PADDED]
    return out
