"""How a descriptor's network runs on this processor: measured where it first has much to do, and kept.

Three ways of running it are timed in turn: as it is, as its quick copy (:mod:`crossband.nn.quick`), and as one
that computes in bfloat16, where the processor multiplies that in hardware. A copy counts only if its vectors
are those of the network: to rounding in float32, and in bfloat16 to a small share of the distance between two
images. What was found lies in the user's cache, for each descriptor and processor.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import time
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...bands import Band
from ...devices import PACES, given_pace
from ...errors import CrossbandError
from ...files import cache_folder, write_file
from ...nn import Encoder
from ...nn.quick import quick_copy
from .descriptor import Descriptor, unit_length

__all__ = ["at_pace", "choose_pace", "measure_paces"]

_FEW = 20  # images for which making a copy does not pay
_WORTH = 200  # images from which on measuring pays
_ROUNDS = 3
_BATCH = 2  # as on a CPU everywhere
_CLOSE = {"float32": 1e-3, "bfloat16": 0.15}  # error of a vector, as a share of the distance between images

# made once for an encoder, and gone with it
_COPIES: weakref.WeakKeyDictionary[Encoder, dict[tuple[str, str, tuple[int, int]], Encoder | None]] = (
    weakref.WeakKeyDictionary()
)


def choose_pace(descriptor: Descriptor, images: int) -> str:
    """Return the quickest way to run a descriptor's network here that gives its vectors.

    The environment variable ``CROSSBAND_PACE`` names one of :data:`PACES` and ends the choice.

    Args:
        descriptor: whose network.
        images: how many there are; of 200 on it is measured, where it is not known.

    Raises:
        CrossbandError: ``CROSSBAND_PACE`` names none.
    """
    given = given_pace()
    if images < _FEW or descriptor.device != "cpu" or not descriptor.encoder.convolves:
        return "plain"
    if given:
        return given
    key = hashlib.sha256(f"{descriptor.fingerprint} {_processor()}".encode()).hexdigest()[:32]
    path = cache_folder() / "paces" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if (kept := json.loads(path.read_bytes())["pace"]) in PACES:
            return str(kept)
    if images < _WORTH:
        return "plain"
    found = measure_paces(descriptor)
    best = min(found, key=lambda pace: found[pace])
    with contextlib.suppress(CrossbandError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps({"pace": best, "seconds": found, "model": descriptor.name}))
    return best


def at_pace(descriptor: Descriptor, pace: str) -> Descriptor:
    """Return the descriptor with its network as a pace runs it; itself where that is not possible."""
    if pace == "plain":
        return descriptor
    copies = _COPIES.setdefault(descriptor.encoder, {})
    key = pace, descriptor.layer, descriptor.preprocess.size
    if key not in copies:
        dtype = torch.bfloat16 if pace == "bfloat16" else torch.float32
        images = _made_images(descriptor)[:_BATCH]
        made = quick_copy(descriptor.encoder, descriptor.layer, images, dtype)
        copies[key] = None if made is descriptor.encoder else made
    quick = copies[key]
    return descriptor if quick is None else replace(descriptor, encoder=quick)


def measure_paces(descriptor: Descriptor) -> dict[str, float]:
    """Time each pace that gives the descriptor's vectors: seconds for an image on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ready = _faithful(descriptor)
        images = _made_images(descriptor)[:_BATCH]
        seconds = dict.fromkeys(ready, float("inf"))
        for _ in range(_ROUNDS):
            for pace, one in ready.items():
                start = time.perf_counter()
                one.pooled(images)
                seconds[pace] = min(seconds[pace], (time.perf_counter() - start) / _BATCH)
        return seconds
    finally:
        torch.set_num_threads(before)


def _faithful(descriptor: Descriptor) -> Mapping[str, Descriptor]:
    """The descriptor at each pace whose vectors are as good as its own."""
    images = _made_images(descriptor)
    wanted = unit_length(descriptor.pooled(images).numpy())
    apart = np.linalg.norm(wanted[:, None] - wanted[None], axis=2)[np.triu_indices(len(wanted), 1)].min()
    found = {"plain": descriptor}
    for pace in ("float32", "bfloat16"):
        if pace == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            continue
        one = at_pace(descriptor, pace)
        if one.encoder is not descriptor.encoder:
            error = np.linalg.norm(unit_length(one.pooled(images).numpy()) - wanted, axis=1).max()
            if error <= _CLOSE[pace] * apart:
                found[pace] = one
    return found


def _made_images(descriptor: Descriptor) -> torch.Tensor:
    """Four smooth random images, as the network reads them."""
    coarse = torch.rand(4, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    images = F.interpolate(coarse, descriptor.preprocess.size, mode="bicubic").clamp(0, 1)
    statistics = descriptor.preprocess.statistics[Band.RGB]
    mean, std = torch.tensor(statistics.mean)[:, None, None], torch.tensor(statistics.std)[:, None, None]
    return (images - mean) / std


@functools.cache
def _processor() -> str:
    """What another measurement is needed for: the processor's model, and torch."""
    name = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line for line in lines if line.startswith("model name")), "")
    return f"{name} {torch.backends.cpu.get_cpu_capability()} {torch.__version__}"
