"""Pseudo-labels: how far what stands out in an image is what was labeled.

Li et al., RSFNet, section III-C: the fine-grained saliency of Montabone and Soto ("Human detection using a
mobile platform and novel features derived from a visual saliency mechanism", 2010), binarized by Otsu's
threshold, and its IoU with the labeled foreground. Both are OpenCV's.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from ..bands import Band, Normalization, parse_band
from ..errors import CrossbandError, MissingExtraError
from ..files import write_file
from ..frames import Frames
from ..io import read_image, read_labels
from ..progress import note, track

__all__ = ["fine_grained_saliency", "otsu_mask", "pseudo_label", "pseudo_labels", "to_byte"]

_FORMAT = 1  # of the cache's entries; what changes a value changes this


def to_byte(pixels: np.ndarray, band: Band | str) -> np.ndarray:
    """Convert pixels of any depth to the 8 bits that OpenCV's saliency needs; same shape.

    8-bit pixels stay as they are. Deeper thermal ones are stretched from their 1st to their 99th percentile:
    cut to their upper byte, a scene of 20 kelvin would keep eight gray levels of its centikelvin.

    Example:
        >>> to_byte(np.array([[29000, 30000]], np.uint16), "tir").tolist()
        [[0, 255]]
    """
    if pixels.dtype == np.uint8:
        return pixels
    name = "percentile" if parse_band(band) is Band.TIR or pixels.dtype.kind == "f" else "range"
    return (Normalization.parse(name)(pixels) * 255).round().astype(np.uint8)


def fine_grained_saliency(image: np.ndarray) -> np.ndarray:
    """Compute the fine-grained saliency of an image, float32 ``(H, W)`` in [0, 1].

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``, RGB.

    Raises:
        CrossbandError: pixels of another type (OpenCV takes floats and gives nonsense), or no OpenCV.
    """
    if image.dtype != np.uint8:
        raise CrossbandError(f"saliency needs 8-bit pixels, not {image.dtype}; use to_byte first")
    cv2 = _opencv()
    worked, saliency = cv2.saliency.StaticSaliencyFineGrained_create().computeSaliency(
        np.ascontiguousarray(image if image.ndim == 2 else image[..., 2::-1])
    )
    if not worked:
        raise CrossbandError(f"OpenCV cannot compute the saliency of an image of shape {image.shape}")
    # 0 to 1 as float32 or 0 to 255 as uint8, by version
    return saliency.astype(np.float32) / (255 if saliency.dtype == np.uint8 else 1)


def otsu_mask(saliency: np.ndarray) -> np.ndarray:
    """Threshold by Otsu's method, bool of the same shape.

    Args:
        saliency: in [0, 1]; it is looked at in 256 levels.
    """
    cv2 = _opencv()
    levels = (saliency.clip(0, 1) * 255).round().astype(np.uint8)
    return cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1] > 0


def pseudo_label(image: np.ndarray, labels: np.ndarray, ignore: int = 255, boxed: bool = False) -> float:
    """Give the IoU of what stands out and what is labeled, equation (1), in 0 to 1.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``.
        labels: ``(H, W)``; 0 is background, and ``ignore`` counts on neither side.
        ignore: see ``labels``.
        boxed: whether only what stands out inside the bounding boxes of the labeled regions counts, as in the
            authors' code; the paper's text has all of it.

    Returns:
        the IoU; 0 where nothing is labeled and something stands out, 1 where neither is.

    Raises:
        CrossbandError: sizes that differ, or pixels that are not 8 bits.
    """
    if image.shape[:2] != labels.shape:
        raise CrossbandError(
            f"an image of {image.shape[:2]} and labels of {labels.shape} do not belong to one frame"
        )
    known = labels != ignore
    salient, labeled = otsu_mask(fine_grained_saliency(image)) & known, (labels != 0) & known
    if boxed:
        salient &= _boxes_of(labeled)
    union = int((salient | labeled).sum())
    return int((salient & labeled).sum()) / union if union else 1.0


def _boxes_of(mask: np.ndarray) -> np.ndarray:
    """The bounding boxes of a mask's connected regions, filled, bool of the same shape."""
    cv2 = _opencv()
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    inside = np.zeros(mask.shape, bool)
    for left, top, width, height in map(cv2.boundingRect, contours):
        inside[top : top + height, left : left + width] = True
    return inside


def pseudo_labels(
    frames: Frames, bands: list[Band], cache: str | Path | None = None, boxed: bool = False
) -> np.ndarray:
    """Give the pseudo-label of every frame in every band, float32 ``(n, bands)``; computed once and kept.

    A frame without the band or without labels has NaN. Values are kept in ``cache`` under the digest of the
    files' bytes, so that moving a folder costs nothing and changing a label file recomputes what depends on it.

    Args:
        frames: with the column ``labels``.
        bands: of which.
        cache: a JSON file; by default ``.crossband/pseudo_labels.json`` in the frames' folder. A folder that
            cannot be written costs the computation at each run, and is said.
        boxed: as of :func:`pseudo_label`.

    Raises:
        CrossbandError: no labels, or an image that cannot be read.
    """
    if not frames.has("labels"):
        raise CrossbandError("pseudo-labels need labels, and these frames have none")
    path = Path(cache) if cache is not None else frames.root / ".crossband" / "pseudo_labels.json"
    known = _read_cache(path)
    found = np.full((len(frames), len(bands)), np.nan, np.float32)
    before = len(known)
    labels = frames.table["labels"]
    for row in track(range(len(frames)), len(frames), "pseudo-labels"):
        if labels.isna().iloc[row]:
            continue
        for column, band in enumerate(bands):
            image = frames.paths(band)[row]
            if image is not None:
                found[row, column] = _kept(known, image, frames.root / labels.iloc[row], band, boxed)
    if len(known) > before:
        try:
            path.parent.mkdir(exist_ok=True)
            write_file(path, json.dumps(known))
        except (OSError, CrossbandError):
            note(f"{path} cannot be written; pseudo-labels will be recomputed next time")
    return found


def _kept(known: dict[str, float], image: Path, labels: Path, band: Band, boxed: bool) -> float:
    digest = hashlib.sha256(f"{_FORMAT} {band.value} {'boxed ' if boxed else ''}".encode())
    for path in (image, labels):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    key = digest.hexdigest()[:32]
    if key not in known:
        pixels = read_image(image, band).pixels
        pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
        known[key] = pseudo_label(to_byte(pixels, band), read_labels(labels), boxed=boxed)
    return known[key]


def _read_cache(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): float(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _opencv():
    try:
        import cv2
    except ModuleNotFoundError:
        raise MissingExtraError(
            "pseudo-labels need OpenCV with its contributed modules; pip install 'crossband[train]'"
        ) from None
    if not hasattr(cv2, "saliency"):
        raise MissingExtraError(
            "this OpenCV lacks the contributed module saliency; pip install opencv-contrib-python-headless"
        )
    return cv2
