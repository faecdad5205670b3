"""The task ``detection``: YOLO-Semantic on thermal images, with or without the map's labeling.

See :mod:`crossband.models.yolo_semantic` and :mod:`crossband.losses.yolo`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from ...data.parts import Strict
from ...data.scenes import Crop, Scenes, zoomed
from ...io.boxes import read_boxes
from ...losses.yolo import yolo_loss
from ...metrics.detection import score_detections
from ...models.yolo_semantic import YoloSemantic
from ...progress import track
from ...training.scene_task import SceneRecipe, SceneTask
from ...training.task import register_task
from ..flight import poses_of
from ..ground_classes import GROUND
from ..projection import Pose
from ..semantic_map import SemanticMap, read_map

__all__ = ["DetectionModel", "DetectionRecipe", "DetectionTask", "fitted_priors", "semantic_planes"]

_PADDED = 100  # true boxes of a crop, at most


class DetectionModel(Strict):
    """The network; see :class:`crossband.models.yolo_semantic.YoloSemantic`.

    Attributes:
        semantics: whether the map's labeling is read too.
        width: channels of the first convolution; 32 in the paper.
        repeats: residual blocks of Darknet's scales.
        priors: prior boxes of each scale.
        zoom: how much images are enlarged before; crops (``data.scales``) should be about as much.
    """

    semantics: bool = True
    width: int = Field(default=32, ge=2)
    repeats: tuple[int, int, int, int, int] = (1, 2, 8, 8, 4)
    priors: int = Field(default=1, ge=1)
    zoom: float = Field(default=1.0, gt=0, le=4)


class DetectionLoss(Strict):
    """How it learns.

    Attributes:
        fits: priors within this factor of an object answer for it besides the best; 0 for none.
        mosaic: share of the samples that are four crops in one; off by default.
        meters: standard error that the position on the map is given while training.
    """

    fits: float = Field(default=2.5, ge=0)
    mosaic: float = Field(default=0.0, ge=0, le=1)
    meters: float = Field(default=3.0, ge=0)


class DetectionRecipe(SceneRecipe):
    """A recipe of the task ``detection``; with semantics, the map lies in ``map`` beside the frames.

    Attributes:
        least: score of a detection, at least, where mAP is measured.
    """

    model: DetectionModel = DetectionModel()
    loss: DetectionLoss = DetectionLoss()
    least: float = Field(default=0.01, gt=0, lt=1)


@register_task("detection", DetectionRecipe)
class DetectionTask(SceneTask):
    """Trains a :class:`~crossband.models.yolo_semantic.YoloSemantic`.

    Args:
        recipe: what the run depends on.
        root: the folder that the recipe's frames are relative to.
    """

    recipe: DetectionRecipe
    network: YoloSemantic
    needs = ("tir", "boxes")
    monitor = "val/map50"

    def __init__(self, recipe: DetectionRecipe, root: Path) -> None:
        super().__init__(recipe, root)
        model = recipe.model
        self.classes = read_boxes(self.train.frames).classes
        sides = np.concatenate(self.train.boxes)[:, 2:4] * model.zoom
        self.network = YoloSemantic(
            len(self.classes),
            len(GROUND) if model.semantics else 0,
            fitted_priors(sides, model.priors),
            model.width,
            model.repeats,
        )
        self.criterion: nn.Module = nn.Identity()
        self._grounds: dict[int, tuple[SemanticMap, list[Pose]]] = {}

    def _ground(self, scenes: Scenes) -> tuple[SemanticMap, list[Pose]]:
        if id(scenes) not in self._grounds:
            ground = read_map(scenes.frames.root)
            height, width = scenes.pixels(0, "tir").shape[:2]
            self._grounds[id(scenes)] = ground, poses_of(scenes.frames, ground, (width, height))
        return self._grounds[id(scenes)]

    def _image(self, scenes: Scenes, row: int, off: np.ndarray | None = None) -> torch.Tensor:
        """What the network reads of a frame, ``(1 or 1 + K, H, W)``; ``off`` moves the position, meters."""
        thermal = scenes.thermal(row)
        if not self.recipe.model.semantics:
            return thermal
        ground, poses = self._ground(scenes)
        pose = poses[row]
        moved = pose if off is None else pose.moved(pose.x + float(off[0]), pose.y + float(off[1]))
        return torch.cat([thermal, semantic_planes(ground.seen_by(moved))])

    def read(self, sample: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Read ``image`` ``(C, s, s)`` and ``boxes`` ``(100, 5)``: class (-1: none), xyxy."""
        if float(torch.rand((), generator=generator)) >= self.recipe.loss.mosaic:
            return self._one(int(sample[0]), self.recipe.data.size, generator)
        side = self.recipe.data.size // 2
        others = torch.randint(len(self.train), (3,), generator=generator).tolist()
        parts = [self._one(row, side, generator) for row in (int(sample[0]), *others)]
        images = [part["image"] for part in parts]
        image = torch.cat([torch.cat(images[:2], -1), torch.cat(images[2:], -1)], -2)
        moved = []
        for part, (x, y) in zip(parts, ((0, 0), (side, 0), (0, side), (side, side)), strict=True):
            boxes = part["boxes"][part["boxes"][:, 0] >= 0]
            moved.append(boxes + torch.tensor([0, x, y, x, y]))
        return {"image": image, "boxes": _padded(torch.cat(moved))}

    def _one(self, row: int, size: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        off = torch.randn(2, generator=generator).numpy() * self.recipe.loss.meters
        image, boxes = self._image(self.train, row, off), self.train.boxes[row]
        around = None
        if len(boxes) and float(torch.rand((), generator=generator)) < 0.5:
            x, y, width, height = boxes[int(torch.randint(len(boxes), (), generator=generator)), :4]
            around = (float(x + width / 2), float(y + height / 2))
        crop = Crop.draw(image.shape, size, self.recipe.data.scales, generator, around)
        return {"image": crop(image), "boxes": _padded(crop_boxes(crop, boxes))}

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the loss; see :func:`crossband.losses.yolo.yolo_loss`."""
        boxes = batch["boxes"]
        image = torch.arange(len(boxes), device=boxes.device)[:, None, None].expand(-1, boxes.shape[1], 1)
        targets = torch.cat([image.to(boxes.dtype), boxes], -1)[boxes[..., 0] >= 0]
        return yolo_loss(self.network, self.network(batch["image"]), targets, self.recipe.loss.fits)

    def detections(self, scenes: Scenes) -> list[np.ndarray]:
        """Detect objects, ``(n, 6)`` per frame: left, top, right, bottom in pixels, score, class."""
        found = []
        zoom = self.recipe.model.zoom
        with self.measuring():
            for row in track(range(len(scenes)), len(scenes), "detecting", "frames"):
                image = zoomed(self._image(scenes, row), zoom)[None].to(self.device)
                boxes = self.network.detect(image, self.recipe.least)[0].cpu().numpy()
                boxes[:, :4] /= zoom
                found.append(boxes)
        return found

    def score(self, scenes: Scenes) -> dict[str, Any]:
        """Compute COCO's mAP; see :mod:`crossband.metrics.detection`."""
        truth = read_boxes(scenes.frames)
        number = [self.classes.index(name) if name in self.classes else -1 for name in truth.classes]
        rows = []
        for boxes in truth.rows:
            mine = boxes.copy()
            mine[:, 4] = [number[int(kind)] for kind in boxes[:, 4]]
            rows.append(mine[mine[:, 4] >= 0])
        return score_detections(self.detections(scenes), rows, self.classes).to_json()

    def metadata(self) -> dict[str, Any]:
        """Return the classes and the prior boxes."""
        return {"classes": self.classes, "priors": self.network.priors.tolist()}


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


def crop_boxes(crop: Crop, boxes: np.ndarray) -> torch.Tensor:
    """Return the boxes in a crop, float32 ``(n, 5)``: class, left, top, right, bottom in its pixels.

    Boxes of which less than 40 % is left are dropped.
    """
    if not len(boxes):
        return torch.zeros(0, 5)
    left, top = boxes[:, 0] - crop.left, boxes[:, 1] - crop.top
    corners = np.stack([left, top, left + boxes[:, 2], top + boxes[:, 3]], 1)
    clipped = corners.clip(0, crop.side)
    area = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
    kept = area > 0.4 * boxes[:, 2] * boxes[:, 3]
    x0, y0, x1, y1 = clipped[kept].T
    for _ in range(crop.turns):  # a quarter counterclockwise: (x, y) -> (y, side - x)
        x0, y0, x1, y1 = y0, crop.side - x1, y1, crop.side - x0
    if crop.mirrored:
        x0, x1 = crop.side - x1, crop.side - x0
    scaled = np.stack([x0, y0, x1, y1], 1) * (crop.size / crop.side)
    return torch.from_numpy(np.concatenate([boxes[kept, 4:5], scaled], 1).astype(np.float32))


def _padded(boxes: torch.Tensor) -> torch.Tensor:
    out = torch.full((_PADDED, 5), -1.0)
    out[: min(len(boxes), _PADDED)] = boxes[:_PADDED]
    return out
