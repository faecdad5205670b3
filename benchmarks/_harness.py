"""What the benchmarks share: measuring in turn, naming the machine, and writing tables into the docs."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Timing:
    """The seconds of each round of one contender."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def ratio(self, other: Timing) -> tuple[float, float, float]:
        """Minimum, median and maximum, round by round, of other's time over this one's: how many times
        faster this one is."""
        ratios = sorted(theirs / mine for theirs, mine in zip(other.seconds, self.seconds, strict=True))
        return ratios[0], statistics.median(ratios), ratios[-1]


def in_turn(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time every contender once per round, so that a change of the machine's speed hits them all; by the
    processor's clock (``time.process_time``) where others use the machine."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warmup + rounds):
        for name, run in contenders.items():
            start = clock()
            run()
            if turn >= warmup:
                seconds[name].append(clock() - start)
    return {name: Timing(values) for name, values in seconds.items()}


def machine() -> str:
    """Date, commit, processor and versions, in one line."""
    import numpy
    import torch

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip() or 'none'}, {os.cpu_count()} x {model}, "
        f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {numpy.__version__}"
    )


def line(what: str, ratio: tuple[float, float, float], against: str, aim: str) -> str:
    """One row of the table of ratios."""
    low, median, high = ratio
    return f"| {what} | {against} | {median:.2f} | {low:.2f} to {high:.2f} | {aim} |"


HEAD = "| what | against | times as fast, median | lowest to highest round | aim |\n|---|---|---|---|---|"


def write_section(path: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->`` in a file."""
    content = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = content.split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")


def sample_pairs(folder: Path, n: int, size: tuple[int, int] = (500, 330)) -> Path:
    """A folder of ``n`` made-up JPEG pairs of the size of RoadScene's, for benchmarks of speed alone."""
    import numpy as np
    import PIL.Image

    generator = np.random.default_rng(0)
    for band in ("rgb", "tir"):
        (folder / band).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        coarse = generator.integers(0, 255, (12, 16, 3), np.uint8)
        color = PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)
        color.save(folder / "rgb" / f"{i:05}.jpg", quality=90)
        color.convert("L").save(folder / "tir" / f"{i:05}.jpg", quality=90)
    return folder
