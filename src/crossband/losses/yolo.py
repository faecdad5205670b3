"""The loss of YOLO-Semantic: which box answers for which object, and how wrong it is.

Redmon and Farhadi, "YOLOv3", 2018, section 2: each object has the box whose prior fits it best, in the cell of
its center, over all scales; objectness and classes by binary cross-entropy. The paper's squared error of
coordinates is replaced by the complete IoU loss (Zheng et al., AAAI 2020; torchvision's), and a prior whose
sides are within a factor of ``fits`` answers too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision

from ..models.yolo_semantic import STRIDES, YoloSemantic
from .center import covered_cells

__all__ = ["assign_boxes", "yolo_loss"]


def assign_boxes(
    targets: torch.Tensor, priors: torch.Tensor, sizes: list[tuple[int, int]], fits: float = 0.0
) -> list[torch.Tensor]:
    """Return which cell of which scale and prior answers for each object.

    Args:
        targets: ``(n, 6)``: image, class, left, top, right, bottom in pixels.
        priors: ``(3, A, 2)`` widths and heights, pixels.
        sizes: (rows, columns) of the three scales.
        fits: priors with both sides within this factor of the object's answer besides the best; 0 for none.

    Returns:
        of each scale int64 ``(m, 5)``: image, prior, row, column, and the object's row in ``targets``.

    Example:
        >>> one = torch.tensor([[0, 2, 10.0, 10.0, 20.0, 30.0]])
        >>> priors = torch.tensor([[[10.0, 20.0]], [[40.0, 40.0]], [[90.0, 90.0]]])
        >>> assign_boxes(one, priors, [(8, 8), (4, 4), (2, 2)])[0].tolist()
        [[0, 0, 2, 1, 0]]
    """
    sides = targets[:, 4:6] - targets[:, 2:4]
    flat = priors.reshape(-1, 2)
    common = torch.minimum(sides[:, None], flat[None]).prod(-1)
    iou = common / (sides.prod(-1)[:, None] + flat.prod(-1)[None] - common).clamp(min=1e-9)
    chosen = F.one_hot(iou.argmax(1), len(flat)).bool() if len(targets) else iou.bool()
    if fits:
        ratio = sides[:, None] / flat[None]
        chosen |= (torch.maximum(ratio, 1 / ratio.clamp(min=1e-9)) < fits).all(-1)
    centers = (targets[:, 2:4] + targets[:, 4:6]) / 2
    found = []
    for scale, (stride, (rows, columns)) in enumerate(zip(STRIDES, sizes, strict=True)):
        count = priors.shape[1]
        which, prior = torch.nonzero(chosen[:, scale * count : (scale + 1) * count], as_tuple=True)
        column = (centers[which, 0] / stride).long().clamp(0, columns - 1)
        row = (centers[which, 1] / stride).long().clamp(0, rows - 1)
        found.append(torch.stack([targets[which, 0].long(), prior, row, column, which], 1))
    return found


def yolo_loss(
    network: YoloSemantic,
    outputs: list[torch.Tensor],
    targets: torch.Tensor,
    fits: float = 0.0,
    crowds: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute the loss of objectness, boxes (twice) and classes for each responsible box, a scalar.

    Args:
        network: whose outputs these are.
        outputs: of its forward pass.
        targets: ``(n, 6)``: image, class, left, top, right, bottom in pixels.
        fits: see :func:`assign_boxes`.
        crowds: as ``targets``, where an object that is found is not wrong.
    """
    sizes = [(output.shape[-2], output.shape[-1]) for output in outputs]
    assigned = assign_boxes(targets, network.priors, sizes, fits)
    objectness = located = named = outputs[0].new_zeros(())
    for output, boxes, part, stride in zip(outputs, network.boxes(outputs), assigned, STRIDES, strict=True):
        image, prior, row, column, which = part.unbind(1)
        wanted = torch.zeros_like(output[:, :, 4])
        if len(part):
            guess = boxes[image, prior, row, column]
            truth = targets[which, 2:6].to(guess.dtype)
            located = located + torchvision.ops.complete_box_iou_loss(guess, truth, reduction="sum")
            iou = torchvision.ops.box_iou(guess.detach(), truth).diagonal().clamp(min=0)
            # a box is as much of an object as it overlaps with it; half at least, so that it begins to learn
            wanted[image, prior, row, column] = (0.5 + 0.5 * iou).to(wanted.dtype)
            kinds = F.one_hot(targets[which, 1].long(), network.classes).to(output.dtype)
            scores = output[image, prior, 5:, row, column]
            named = named + F.binary_cross_entropy_with_logits(scores, kinds, reduction="sum")
        unsure = torch.zeros_like(wanted)
        if crowds is not None and len(crowds):
            shape = (output.shape[-2], output.shape[-1])
            unsure += covered_cells(crowds[:, 2:6], crowds[:, 0].long(), len(output), shape, stride)[:, None]
        objectness = objectness + F.binary_cross_entropy_with_logits(
            output[:, :, 4], wanted, torch.where(wanted > 0, 1, 1 - unsure), reduction="sum"
        )
    # sums over the objects that there are: a mean over all cells would hardly see them
    return (objectness + 2 * located + named) / max(sum(len(part) for part in assigned), 1)
