"""What a network costs: counted operations, and the time and memory of a pass, as trained and as deployed."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from .allocator import process_peak_mb
from .bands import Band, parse_band
from .devices import choose_device, choose_dtype
from .errors import CrossbandError, unknown_name
from .factory import create_model, input_channels, is_encoder
from .models._segmentation import segmenter_names
from .nn.counting import count_cost
from .nn.reparam import deploy
from .progress import track
from .results import Result, Rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMS", "Profile", "check_size", "network_of", "profile"]

FORMS = ("training", "deployed")
_LARGEST_SIDE = 8192  # pixels


@dataclass(frozen=True, repr=False)
class Profile(Result):
    """The cost of one pass of a network.

    Attributes:
        model: its name, or a checkpoint's path.
        input: the shape ``[B, C, H, W]``.
        params_m: parameters, millions, without a classifier for encoders.
        macs_g, flops_g, thop_g: see :mod:`crossband.nn.counting`, 10^9.
        latency_ms: ``p50`` and ``p95`` over the rounds, or ``None`` where nothing was timed.
        fps: images per second at the median.
        peak_memory_mb: on a GPU what the passes needed at most; on a CPU the most that the process ever held.
        form: ``training`` (branches and BatchNorm apart, in evaluation mode) or ``deployed`` (merged).
        device, dtype, threads: where and how it was run.
    """

    model: str
    input: list[int]
    params_m: float
    macs_g: float
    flops_g: float
    thop_g: float
    latency_ms: dict[str, float] | None
    fps: float | None
    peak_memory_mb: float | None
    form: str
    device: str
    dtype: str
    threads: int

    def to_pandas(self) -> pd.DataFrame:
        """Return its one row; the input as text, the latency as ``p50_ms`` and ``p95_ms``."""
        latency = self.latency_ms or dict.fromkeys(("p50", "p95"), float("nan"))
        row = {**asdict(self), "input": "x".join(map(str, self.input))}
        del row["latency_ms"]
        return pd.DataFrame([{**row, "p50_ms": latency["p50"], "p95_ms": latency["p95"]}])

    @staticmethod
    def draw(table: pd.DataFrame) -> Figure:
        """Draw parameters, operations and latency of some profiles; see :meth:`to_pandas`."""
        from .reports.result_plots import plot_profiles

        return plot_profiles(table)

    def plot(self) -> Figure:
        """Draw its parameters, operations and latency."""
        return self.draw(self.to_pandas())


def profile(
    model: str | Path,
    *,
    size: tuple[int, int] = (480, 640),
    bands: Iterable[str] = ("rgb", "tir"),
    classes: int = 9,
    options: Mapping[str, Any] | None = None,
    forms: Iterable[str] = FORMS,
    batch_size: int = 1,
    rounds: int = 20,
    warmup: int = 3,
    device: str = "auto",
    dtype: str = "float32",
    threads: int | None = None,
) -> Rows[Profile]:
    """Measure the cost of a network, in each of its forms.

    Args:
        model: a segmentation network, an encoder (cut where a descriptor's text says, as in
            ``resnet50@layer3``), or the checkpoint of a segmentation.
        size: (height, width) of the input.
        bands: of a segmentation network's input.
        classes: of a segmentation network.
        options: of a segmentation network.
        forms: ``training``, ``deployed`` or both.
        batch_size: images at once.
        rounds: timed passes; 0 only counts.
        warmup: passes before them.
        device: ``cpu``, ``cuda`` or ``auto``.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        threads: of torch on a CPU; what it has by default.

    Raises:
        CrossbandError: an unknown name or form, or a device that is not available.

    Example:
        >>> [cost] = profile("mfnet", forms=["training"], rounds=0, device="cpu")
        >>> round(cost.params_m, 3), round(cost.thop_g, 2)
        (0.736, 8.42)
    """
    wanted = list(forms)
    for form in wanted:
        if form not in FORMS:
            raise unknown_name("form", form, FORMS)
    kind, number = choose_device(device), choose_dtype(dtype)
    chosen = tuple(parse_band(band) for band in bands)
    network, channels = network_of(model, chosen, classes, options)
    shape = (batch_size, channels, *size)
    check_size(network, shape)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        return Rows(_profile(str(model), network, shape, form, kind, number, rounds, warmup) for form in wanted)
    finally:
        torch.set_num_threads(before)


def check_size(network: nn.Module, shape: tuple[int, ...]) -> None:
    """Check that a network reads images of a shape ``(B, C, H, W)``.

    The check allocates nothing of that size.

    Raises:
        CrossbandError: a side is not from 1 to 8192, or the network cannot read it.
    """
    height, width = shape[-2:]
    reason = "a side is 1 to 8192 pixels"
    if min(height, width) > 0 and max(height, width) <= _LARGEST_SIDE:
        try:
            with torch.inference_mode():
                copy.deepcopy(network).to("meta").eval()(torch.empty(shape, device="meta"))
            return
        except (RuntimeError, CrossbandError) as error:
            reason = " ".join(str(error).split())[:120].rstrip(".")
    raise CrossbandError(
        f"the network cannot read images of {width}x{height} ({reason}); choose another size", parameter="size"
    )


def network_of(
    model: str | Path,
    bands: tuple[Band, ...] = (Band.RGB, Band.TIR),
    classes: int = 9,
    options: Mapping[str, Any] | None = None,
) -> tuple[nn.Module, int]:
    """Build a network of :func:`crossband.create_model`, and tell the channels of its input.

    Encoders come without weights.

    Args:
        model: a segmentation network, an encoder, or a segmentation's checkpoint.
        bands: of a segmentation network's input; a checkpoint has its own.
        classes: of a segmentation network.
        options: of a segmentation network.

    Raises:
        CrossbandError: nobody knows the name.
    """
    name = str(model)
    pretrained = False if name not in segmenter_names() and is_encoder(name) else None  # its cost needs none
    network = create_model(name, pretrained=pretrained, classes=classes, bands=bands, options=options)
    return network, input_channels(network)


def _profile(
    name: str,
    network: nn.Module,
    shape: tuple[int, ...],
    form: str,
    device: str,
    dtype: torch.dtype,
    rounds: int,
    warmup: int,
) -> Profile:
    if form == "deployed":
        network = deploy(network, torch.rand(1, shape[1], 64, 64))
    cost = count_cost(copy.deepcopy(network).to("meta"), *shape)
    latency, fps, peak = _timed(network, shape, device, dtype, rounds, warmup, name) if rounds else (None,) * 3
    return Profile(
        name,
        list(shape),
        cost.params_m,
        cost.macs_g,
        cost.flops_g,
        cost.thop_g,
        latency,
        fps,
        peak,
        form,
        _device_name(device),
        str(dtype).removeprefix("torch."),
        torch.get_num_threads(),
    )


def _timed(
    network: nn.Module,
    shape: tuple[int, ...],
    device: str,
    dtype: torch.dtype,
    rounds: int,
    warmup: int,
    name: str,
) -> tuple[dict[str, float], float, float | None]:
    network = copy.deepcopy(network).to(device, dtype).eval()  # the next form is made of the one given
    images = torch.rand(shape, device=device).to(dtype)
    seconds = []
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode():
        for turn in track(range(warmup + rounds), warmup + rounds, f"timing {name}", "passes"):
            _wait(device)
            start = time.perf_counter()
            network(images)
            _wait(device)
            if turn >= warmup:
                seconds.append(time.perf_counter() - start)
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device != "cpu" else process_peak_mb()
    return {"p50": float(p50), "p95": float(p95)}, 1000 * shape[0] / float(p50), peak


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def _device_name(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "cpu")
