"""crossband's detector beside torchvision's on the same encoder, crops, steps and optimizer.

``python -m benchmarks.detectors DATA`` trains both from ImageNet's EfficientNet-Lite0 on HIT-UAV's train part
(the recipe ``detect_first.yaml``, 7,200 crops, one seed), measures HIT-UAV's val part, and writes
docs/models.md. RetinaNet is torchvision's, with a pyramid from stride 4 and anchors from 8 pixels: objects
are small.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork

from crossband.data.items import part_frames
from crossband.data.scenes import Scenes
from crossband.losses.center import center_loss
from crossband.models._tuned import tuned_stages
from crossband.models.center_detector import CenterDetector
from crossband.progress import track
from crossband.training.recipe import read_recipe
from crossband.uav.tasks.detection import DetectionTask

from ._harness import ROOT, machine, write_section

CROPS, BATCH, WIDTH = 7200, 12, 64


class Pyramid(nn.Module):
    """The encoder with a feature pyramid of strides 4 to 32."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, _ = tuned_stages("efficientnet_lite0", True, 1)
        self.pyramid = FeaturePyramidNetwork(list(self.encoder.channels), WIDTH)
        self.out_channels = WIDTH

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.encoder(images.contiguous(memory_format=torch.channels_last))
        return self.pyramid({str(level): one for level, one in enumerate(maps)})


def anchors(scales: tuple[float, ...]) -> AnchorGenerator:
    """Of 8 to 64 pixels, three shapes each."""
    sizes = tuple(tuple(round(8 * 2**level * scale) for scale in scales) for level in range(4))
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 4)


class Retina(nn.Module):
    """torchvision's RetinaNet on thermal images."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        boxes = anchors((1, 2 ** (1 / 3), 2 ** (2 / 3)))
        as_they_are: dict[str, Any] = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3, "_skip_resize": True}
        self.network = RetinaNet(Pyramid(), classes, anchor_generator=boxes, score_thresh=0.01, **as_they_are)

    def loss(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        own = [targets[targets[:, 0] == number] for number in range(len(images))]
        wanted = [{"boxes": boxes[:, 2:], "labels": boxes[:, 1].long()} for boxes in own]
        return torch.stack(list(self.network(list(_colors(images)), wanted).values())).sum()

    def find(self, image: torch.Tensor) -> np.ndarray:
        found = self.network(list(_colors(image[None])))[0]
        parts = [found["boxes"], found["scores"][:, None], found["labels"][:, None]]
        return torch.cat([part.float() for part in parts], 1).numpy()


class Ours(nn.Module):
    """crossband's."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = CenterDetector(classes, width=WIDTH, pretrained=True)

    def loss(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return center_loss(self.network, self.network(images), targets)

    def find(self, image: torch.Tensor) -> np.ndarray:
        return self.network.detect(image[None], 0.01)[0].numpy()


def _colors(images: torch.Tensor) -> torch.Tensor:
    return (images * 0.5).expand(-1, 3, -1, -1)


CONTENDERS: dict[str, Callable[[int], Any]] = {
    "crossband's (heat maps at stride 4)": Ours,
    "RetinaNet of torchvision": Retina,
}


def batches(task: DetectionTask) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same crops for each: images, and targets ``(n, 6)``."""
    generator, epoch, rows = torch.Generator().manual_seed(0), 0, np.zeros((0, 1), np.int64)
    for _ in range(CROPS // BATCH):
        while len(rows) < BATCH:
            rows, epoch = np.concatenate([rows, task.samples(epoch)]), epoch + 1
        read, rows = [task.read(row, generator) for row in rows[:BATCH]], rows[BATCH:]
        targets = [
            torch.cat([torch.full((len(boxes), 1), float(number)), boxes], 1)
            for number, boxes in ((k, one["boxes"][one["boxes"][:, 0] >= 0]) for k, one in enumerate(read))
        ]
        yield torch.stack([one["image"] for one in read]), torch.cat(targets)


def train(network: Any, task: DetectionTask, name: str) -> float:
    """Learn, and return how many crops a second."""
    torch.manual_seed(0)
    network.train()
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 5e-4, weight_decay=1e-4)
    steps = CROPS // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-4, steps, pct_start=0.05)
    begun = time.process_time()
    for images, targets in track(batches(task), steps, name, "steps"):
        with torch.autocast("cpu", torch.bfloat16):
            loss = network.loss(images, targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10)
        optimizer.step()
        schedule.step()
    return CROPS / (time.process_time() - begun)


class Contest(DetectionTask):
    """The task whose detections are those of one of them."""

    contender: Any = None

    def detections(self, scenes: Scenes) -> list[np.ndarray]:
        """Detect objects in each frame; RetinaNet may keep 300, ours 100."""
        self.contender.eval()
        with torch.inference_mode():
            rows = track(range(len(scenes)), len(scenes), "detecting", "frames")
            return [self.contender.find(self._image(scenes, row)) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    recipe: Any = read_recipe(ROOT / "recipes" / "models" / "detect_first.yaml")
    task, scenes = Contest(recipe, data), Scenes(part_frames(recipe.data.test["hituav_val"], data))
    kinds = ("Person", "Car", "Bicycle")
    lines = [
        f"| detector | mAP at IoU 0.5 | {' | '.join(kinds)} | crops learned a second and core |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, make in CONTENDERS.items():
        torch.manual_seed(0)
        task.contender = make(len(task.classes))
        speed = train(task.contender, task, name)
        scores = task.score(scenes)
        cells = [
            f"{value:.1f}" for value in (scores["map50"], *(scores["ap50"][kind] for kind in kinds), speed)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    lines += ["", f"HIT-UAV's val part, {len(scenes)} images, after {CROPS:,} crops of 256 pixels. {machine()}"]
    write_section(ROOT / "docs" / "models.md", "detectors", "\n".join(lines))


if __name__ == "__main__":
    main()
