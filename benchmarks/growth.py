"""What index, search, benchmark and data check cost as the number of images grows: processor time and memory.

``python -m benchmarks.growth 1000 10000 ...`` measures sets of so many tiny images, each step in a process of
its own, and writes the table into docs/scale.md and the curves to docs/images/growth.png. Seconds are the
processor's, for the machine may be shared. Stopped by Ctrl-C, it writes what it has.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image

from ._harness import ROOT, machine, write_section

STEPS = ("data check", "index", "search", "benchmark")
QUERIES = 100
MEMORY = 256 << 20  # bytes for distances in ``benchmark``
LARGEST = {"benchmark": 100_000}  # every query against every item: a million would take a hundred times as long


def make(folder: Path, n: int) -> None:
    """``n`` images of 32 x 24 pixels, half of them thermal, with a manifest; no two are alike."""
    from crossband.frames import Frames

    rng = np.random.default_rng(0)
    rows = []
    for number in range(n // 2):
        scene = rng.integers(0, 256, (3, 4, 3), np.uint8)
        color = PIL.Image.fromarray(scene).resize((32, 24), PIL.Image.Resampling.BICUBIC)
        row = {"frame": f"{number:07}"}
        for band, image in (("rgb", color), ("tir", color.convert("L").point(lambda v: 255 - v))):
            row[band] = f"{band}/{number // 1000:04}/{number:07}.png"
            (folder / row[band]).parent.mkdir(parents=True, exist_ok=True)
            image.save(folder / row[band])
        rows.append(row)
    Frames.make(rows, folder).write(folder / "frames.parquet")


def run(step: str, folder: Path) -> dict[str, float]:
    """One step in this process: seconds of the processor, and MB at most, beyond what its imports take."""
    from crossband.datasets import open_frames
    from crossband.datasets.check import check_frames
    from crossband.retrieval import Gallery, Options, benchmark, index

    frames, small = open_frames(folder), Options(size=(32, 32))
    before, start = _peak_mb(), time.process_time()
    if step == "data check":
        check_frames(frames)
    elif step == "index":
        index(frames, folder / "gallery", "hog", options=small)
    elif step == "search":
        paths = [str(path) for path in frames.paths("rgb")[:QUERIES]]
        Gallery.open(folder / "gallery").search(paths, 10, band="rgb", rerank=0)
    else:
        kept = {"store": folder / "store", "max_memory": MEMORY}
        benchmark(frames, "hog", options=small, rerank=0, misaligned=False, **kept)
    return {"seconds": time.process_time() - start, "mb": _peak_mb(), "before": before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(sizes: list[int]) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {step: [] for step in STEPS}
    with contextlib.suppress(KeyboardInterrupt):
        _measure(sizes, found)
    return found


def _measure(sizes: list[int], found: dict[str, list[dict[str, float]]]) -> None:
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), n)
            for step in (step for step in STEPS if n <= LARGEST.get(step, n)):
                command = [sys.executable, "-m", "benchmarks.growth", "step", step, folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[step].append(json.loads(done.stdout.splitlines()[-1]))
                print(n, step, found[step][-1], flush=True)


def table(sizes: list[int], found: dict[str, list[dict[str, float]]]) -> str:
    head = "| | " + " | ".join(f"{n:,} images" for n in sizes) + " | grows with the images to the power of |"
    lines = [head, "|---|" + "---|" * (len(sizes) + 1)]
    for step in STEPS:
        power = _power(sizes, [one["seconds"] for one in found[step]])
        cells = [f"{one['seconds']:.1f} s, {one['mb']:.0f} MB" for one in found[step]]
        cells += ["not run"] * (len(sizes) - len(cells))
        lines.append(f"| `{step}` | " + " | ".join(cells) + f" | {power:.2f} |")
    return "\n".join(lines)


def _power(sizes: list[int], seconds: list[float]) -> float:
    """The exponent of the growth between the two largest sizes."""
    last = slice(len(seconds) - 2, len(seconds))
    return float(np.polyfit(np.log(sizes[last]), np.log(seconds[last]), 1)[0])


def plot(sizes: list[int], found: dict[str, list[dict[str, float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((9, 3.6), layout="constrained")
    for axes, (name, label) in zip(
        figure.subplots(1, 2), (("seconds", "seconds of the processor"), ("mb", "peak memory, MB")), strict=True
    ):
        for step in STEPS:
            axes.plot(sizes[: len(found[step])], [one[name] for one in found[step]], "o-", label=step)
        axes.set(xscale="log", yscale="log", xlabel="images", ylabel=label)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["step"]:
        print(json.dumps(run(arguments[1], Path(arguments[2]))))
        return
    sizes = [int(n) for n in arguments] or [1000, 10_000]
    found = measure(sizes)
    write(sizes, found)


def write(sizes: list[int], found: dict[str, list[dict[str, float]]]) -> None:
    plot(sizes, found, ROOT / "docs" / "images" / "growth.png")
    text = (
        f"{table(sizes, found)}\n\nOf `hog` at 32 x 32; `search` is {QUERIES} queries and opening the gallery; "
        f"`benchmark` has {MEMORY >> 20} MB for distances. "
        f"A process holds {found['index'][0]['before']:.0f} MB before any work. {machine()}.\n\n"
        "![Cost as work grows](images/growth.png)"
    )
    print(text)
    write_section(ROOT / "docs" / "scale.md", "growth", text)


if __name__ == "__main__":
    main(sys.argv[1:])
