"""Frames per second of ``simulate``, in all and per core, and whether its cost grows in proportion to them."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from crossband.simulation import simulate

from ._harness import machine

PRESET, SIZE, SEED = "driving", (256, 320), 0
COUNTS = (25, 50, 100)
LARGER = (480, 640)
AIM = 100.0  # seconds for 100 frames of 320x256 on two cores


def seconds(frames: int, size: tuple[int, int], workers: int) -> tuple[float, float]:
    """Wall-clock and processor seconds of a whole run into an empty folder, with its city built anew.

    Processor seconds hold on a machine that is shared; the clock does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        start, spent = time.perf_counter(), processor_seconds()
        simulate(PRESET, frames, size, SEED, Path(folder) / "out", workers=workers)
        return time.perf_counter() - start, processor_seconds() - spent


def processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> str:
    cores = min(os.cpu_count() or 1, 2)
    rows, taken = [], {}
    for count, size, workers in (
        *((count, SIZE, cores) for count in COUNTS),
        (COUNTS[0], SIZE, 1),
        (COUNTS[0], LARGER, cores),
    ):
        taken[count, size, workers] = wall, work = seconds(count, size, workers)
        rate = count / wall
        rows.append(
            f"| {count} | {size[0]}x{size[1]} | {workers} | {wall:.1f} | {rate:.2f} | {rate / workers:.2f} "
            f"| {work / count:.2f} |"
        )
    works = [taken[count, SIZE, cores][1] for count in COUNTS]
    large = taken[COUNTS[2], SIZE, cores][0]
    slopes = [(works[i + 1] - works[i]) / (COUNTS[i + 1] - COUNTS[i]) for i in (0, 1)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (
        1024 if sys.platform == "linux" else 1024**2
    )
    return "\n".join(
        [
            f"`{PRESET}`: RGB, NIR, TIR, labels, semantic, instances, depth, temperature; four rays per pixel.",
            "",
            "| frames | size | processes | seconds | frames/s | per core | processor seconds a frame |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"{COUNTS[2]} frames of {SIZE[0]}x{SIZE[1]} on {cores} cores: {large:.1f} s (aim: {AIM:.0f} s). "
            f"One more frame costs {slopes[0]:.2f} processor seconds from {COUNTS[0]} to {COUNTS[1]} frames, "
            f"{slopes[1]:.2f} from {COUNTS[1]} to {COUNTS[2]}. Largest process: {peak:.0f} MB.",
            "",
            machine(),
        ]
    )


if __name__ == "__main__":
    print(main())
