"""How well a network labels frames: one confusion matrix per frame, added up over the set."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..data.labeled import LabeledFrames
from ..metrics.segmentation import confusion_matrix
from ..progress import track
from ..training.distributed import rank_and_world

__all__ = ["Change", "confusion_of"]

Change = Callable[[torch.Tensor, int], torch.Tensor]


def confusion_of(
    network: nn.Module, data: LabeledFrames, change: Change | None = None, batch_size: int = 8, what: str = ""
) -> np.ndarray:
    """Compute the confusion matrix of every frame, int64 ``(n, classes, classes)``.

    It is the same on every process.

    A label map is compared in the labels' own size, to which the logits are resized. The network is left in the
    mode it was in.

    Args:
        network: images to logits.
        data: the frames.
        change: what is done to the bands in [0, 1] of a frame, given with its row, before the network reads
            them.
        batch_size: frames at once.
        what: shown with the progress.
    """
    rank, world = rank_and_world()
    device, training = next(network.parameters()).device, network.training
    found = np.zeros((len(data), len(data.classes), len(data.classes)), np.int64)
    mine = np.arange(len(data))[rank::world]
    network.eval()
    with torch.inference_mode(), ThreadPoolExecutor(2) as pool:
        for start in track(
            range(0, len(mine), batch_size), -(-len(mine) // batch_size), what or "scoring", "batches"
        ):
            rows = mine[start : start + batch_size].tolist()
            pairs = list(pool.map(data.frame, rows))
            images = [
                image if change is None else change(image, row)
                for (image, _), row in zip(pairs, rows, strict=True)
            ]
            logits = network(data.standardized(torch.stack(images)).to(device)).float()
            for row, logit, (_, labels) in zip(rows, logits, pairs, strict=True):
                if logit.shape[-2:] != labels.shape:
                    logit = F.interpolate(logit[None], labels.shape, mode="bilinear", align_corners=False)[0]
                found[row] = confusion_matrix(logit.argmax(0).cpu().numpy(), labels, len(data.classes))
    network.train(training)
    if world > 1:
        total = torch.from_numpy(found).to(device)
        torch.distributed.all_reduce(total)
        found = total.cpu().numpy()
    return found
