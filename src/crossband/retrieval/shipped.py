"""Band means that come with the package, for a band of which a gallery has seen no image.

A descriptor that centers needs each band's own mean. These are of M3SVD (MIT): 80 frames of five scenes in
color and in thermal, by ``benchmarks/band_means.py``. A set's own mean is better (docs/retrieval.md).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from ..bands import BANDS, Band
from .descriptor.descriptor import Descriptor

__all__ = ["SHIPPED", "shipped_means"]

SHIPPED = Path(__file__).parents[1] / "models" / "crossband_means.safetensors"


def shipped_means(descriptor: Descriptor) -> Mapping[Band, np.ndarray]:
    """Return the means float32 ``(d,)`` that ship for a descriptor, none for other descriptors.

    They are of its encoder, weights, layer and pooling, whatever the size of its images.

    Example:
        >>> sorted(shipped_means(Descriptor.load("crossband")))
        [<Band.RGB: 'rgb'>, <Band.TIR: 'tir'>]
    """
    if not descriptor.center or descriptor.axes is not None:
        return {}
    made_by, means = _read()
    same = {
        "weights": descriptor.weights_digest,
        "layer": descriptor.layer,
        "pooling": str(descriptor.pooling),
    }
    return means if same == made_by else {}


@functools.cache
def _read() -> tuple[dict[str, str], dict[Band, np.ndarray]]:
    with safe_open(SHIPPED, framework="numpy") as file:
        made_by = json.loads(file.metadata()["crossband"])
        means = {band: file.get_tensor(band.value) for band in BANDS if band.value in file.keys()}  # noqa: SIM118
    return {key: made_by[key] for key in ("weights", "layer", "pooling")}, means
