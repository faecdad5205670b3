"""What every detector does with its candidates."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

import torch
import torchvision
from torch import nn

from ..devices import quick_arithmetic

__all__ = ["BoxDetector"]

Candidates = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class BoxDetector(nn.Module):
    """A network whose raw outputs become boxes; a subclass says by :meth:`candidates` how.

    Attributes:
        classes: of objects.
        semantics: channels of a map's labeling beside the image, 0 for none.
        overlap: IoU above which the weaker of two boxes of a class is left out.
    """

    classes: int
    semantics: int
    overlap = 0.5

    @abc.abstractmethod
    def candidates(self, outputs: Any, least: float) -> Iterator[Candidates]:
        """Give the candidates of each image: boxes ``(n, 4)``, scores ``(n,)`` above ``least``, and classes."""

    def outputs(self, images: torch.Tensor) -> Any:
        """Return what :meth:`candidates` are taken from: the raw outputs."""
        return self(images)

    @torch.inference_mode()
    def detect(self, images: torch.Tensor, least: float = 0.05, most: int = 100) -> list[torch.Tensor]:
        """Find objects in each image, after non-maximum suppression within each class (torchvision's).

        Args:
            images: as of ``forward``.
            least: score below which nothing is an object.
            most: boxes of an image.

        Returns:
            of each image float32 ``(n, 6)``: left, top, right, bottom in pixels, score, class; best first.
        """
        height, width = images.shape[-2:]
        found = []
        with quick_arithmetic(images.device):
            outputs = self.outputs(images)
        for boxes, scores, kinds in self.candidates(outputs, least):
            # of thousands of boxes the best are enough, and suppression is quadratic
            order = scores.argsort(descending=True)[: 20 * most]
            best, kind = scores[order].float(), kinds[order]
            clipped = torchvision.ops.clip_boxes_to_image(boxes[order].float(), (height, width))
            kept = torchvision.ops.batched_nms(clipped, best, kind, self.overlap)[:most]
            found.append(torch.cat([clipped[kept], best[kept, None], kind[kept, None].float()], 1))
        return found
