"""How much a segmentation stands: darker RGB, fainter thermal, bands that do not meet, fog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from ..bands import Band
from ..data.labeled import LabeledFrames
from ..datasets.check import usable_frames
from ..errors import CrossbandError
from ..frames import Frames
from ..io import read_image
from ..metrics.segmentation import score_confusion
from ..progress import says_once
from ..results import Curve
from .evaluation import confusion_of
from .predict import load_segmenter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DISTURBANCES", "SegmentationCurve", "disturb", "segmentation_robustness"]

DISTURBANCES: dict[str, tuple[float, ...]] = {
    "rgb light": (1.0, 0.5, 0.2, 0.1, 0.05, 0.0),
    "tir contrast": (1.0, 0.5, 0.2, 0.1, 0.05, 0.0),
    "shift": (0.0, 1.0, 2.0, 4.0, 8.0, 16.0),
    "fog": (1000.0, 200.0, 100.0, 50.0, 25.0, 12.0),
}
"""What is done, and by how much; the first amount of each does next to nothing. Light and contrast are shares
of what was there, 0 being black RGB and lost thermal; a shift is of the last band, pixels right and half as
many down; fog is the meteorological range in meters."""

_CONTRAST = 3.912  # Koschmieder: at the meteorological range 2 % of the contrast is left
_LONGER_THERMAL = 3.0  # 8-14 um reach further through fog than light: the ratio of the city's fog
_PLAIN_DEPTH = 30.0  # meters, where a frame's depth is not known
_AIR_LIGHT = 0.7


@dataclass(frozen=True, repr=False)
class SegmentationCurve(Curve):
    """mIoU under disturbances.

    Attributes:
        points: columns ``model``, ``kind``, ``amount``, ``condition`` (``all``, ``day``, ``night``), ``miou``.
    """

    stem: ClassVar[str] = "segmentation_robustness"

    def plot(self) -> Figure:
        """Draw mIoU over each disturbance; see :func:`crossband.reports.plots.plot_segmentation_robustness`."""
        from ..reports.plots import plot_segmentation_robustness

        return plot_segmentation_robustness(self.points)


@says_once
def segmentation_robustness(
    frames: Frames, checkpoints: Mapping[str, str | Path], *, protocol: str = "present", device: str = "cpu"
) -> SegmentationCurve:
    """Measure the mIoU of trained networks as their input gets worse.

    Args:
        frames: with labels; of a ``depth`` column, centimeters as the simulation writes it, fog is made.
        checkpoints: by the name that the figure shows.
        protocol: see :mod:`crossband.metrics.segmentation`.
        device: where the networks run.

    Raises:
        CrossbandError: frames without labels or bands, or a checkpoint of another task.
    """
    if not checkpoints:
        raise CrossbandError("no checkpoint to measure; give one", parameter="checkpoint")
    models = {name: load_segmenter(checkpoint, device) for name, checkpoint in checkpoints.items()}
    frames, rows = usable_frames(frames), []
    sets = {
        name: LabeledFrames(frames, model.bands, model.preprocess, model.classes, cache_mb=512)
        for name, model in models.items()
    }
    for name, model in models.items():
        data = sets[name]
        parts = _parts(data.frames)
        undisturbed = confusion_of(model.network, data, what=name)
        for kind, amounts in DISTURBANCES.items():
            for number, amount in enumerate(amounts):
                found = undisturbed
                if number and _matters(kind, model.bands):
                    found = confusion_of(
                        model.network, data, _change(kind, amount, data), what=f"{name}, {kind}"
                    )
                for condition, mask in parts.items():
                    miou = score_confusion(found[mask].sum(0), protocol).miou
                    rows.append((name, kind, amount, condition, miou))
    return SegmentationCurve(pd.DataFrame(rows, columns=["model", "kind", "amount", "condition", "miou"]))


def disturb(
    images: torch.Tensor, bands: tuple[Band, ...], kind: str, amount: float, depth: torch.Tensor | None = None
) -> torch.Tensor:
    """Disturb a frame's bands in [0, 1], ``(C, H, W)``; the same shape.

    Args:
        images: the bands one after another.
        bands: in the order of the channels.
        kind: of :data:`DISTURBANCES`.
        amount: see there.
        depth: meters, ``(H, W)``, 0 where nothing is; for fog.

    Example:
        >>> frame = torch.ones(4, 2, 2)
        >>> disturb(frame, (Band.RGB, Band.TIR), "rgb light", 0.0).mean((1, 2)).tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    parts = list(images.split([3 if band is Band.RGB else 1 for band in bands]))
    for i, band in enumerate(bands):
        if (kind == "rgb light" and band is not Band.TIR) or (kind == "tir contrast" and band is Band.TIR):
            parts[i] = parts[i] * amount
        elif kind == "shift" and i == len(bands) - 1 and i:
            parts[i] = _shifted(parts[i], round(amount), round(amount / 2))
        elif kind == "fog":
            parts[i] = _fogged(parts[i], band, amount, depth)
    return torch.cat(parts)


def _shifted(image: torch.Tensor, right: int, down: int) -> torch.Tensor:
    """The content moved; the border is extended."""
    height, width = image.shape[-2:]
    padded = F.pad(image[None], (right, 0, down, 0), mode="replicate")[0]
    return padded[:, :height, :width]


def _fogged(image: torch.Tensor, band: Band, meters: float, depth: torch.Tensor | None) -> torch.Tensor:
    if depth is None:
        depth = torch.full(image.shape[-2:], _PLAIN_DEPTH)
    depth = torch.where(depth > 0, depth, torch.tensor(1000.0))  # nothing is as far as the sky
    reach = meters * (_LONGER_THERMAL if band is Band.TIR else 1.0)
    left = torch.exp(-_CONTRAST * depth / reach)
    air = image.mean() if band is Band.TIR else _AIR_LIGHT * image.amax()  # by night the fog is dark
    return image * left + air * (1 - left)


def _matters(kind: str, bands: tuple[Band, ...]) -> bool:
    if kind == "rgb light":
        return any(band is not Band.TIR for band in bands)
    return Band.TIR in bands if kind == "tir contrast" else kind != "shift" or len(bands) > 1


def _change(kind: str, amount: float, data: LabeledFrames) -> Callable[[torch.Tensor, int], torch.Tensor]:
    paths = data.frames.table["depth"].tolist() if data.frames.has("depth") else None

    def change(images: torch.Tensor, row: int) -> torch.Tensor:
        depth = None
        if kind == "fog" and paths is not None:
            pixels = read_image(data.frames.root / paths[row]).pixels.astype(np.float32) / 100
            depth = F.interpolate(
                torch.from_numpy(pixels)[None, None], images.shape[-2:], mode="nearest-exact"
            )[0, 0]
        return disturb(images, data.bands, kind, amount, depth)

    return change


def _parts(frames: Frames) -> dict[str, np.ndarray]:
    parts = {"all": np.ones(len(frames), bool)}
    if frames.has("condition"):
        night = (frames.table["condition"] == "night").fillna(False).to_numpy(bool)
        parts |= {name: mask for name, mask in (("day", ~night), ("night", night)) if mask.any()}
    return parts
