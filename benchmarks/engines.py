"""Embedding in this process and on two nodes of a Ray cluster on the same machine, in turn.

``python -m benchmarks.engines [FACTOR]`` embeds 3,600 images with the default descriptor and 20,000 small ones
with ``hog`` (both divided by FACTOR) and writes the table into docs/scale.md. The cluster is up before the
clock starts; that its workers start and load their network counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from crossband.datasets import scan
from crossband.engines import IN_PROCESS, Engine, RayEngine
from crossband.frames import Frames
from crossband.retrieval import Options, embed

from ._harness import ROOT, machine, sample_pairs, write_section

HEAD = (
    "| images | descriptor | in this process | two nodes of one core | times as fast | vectors |\n"
    "|---:|---|---|---|---|---|"
)


def timed(frames: Frames, model: str, options: Options, engine: Engine) -> tuple[float, dict[str, np.ndarray]]:
    """Seconds, and some vectors of each band."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as store:
        found = embed(frames, model, store=store, options=options, engine=engine)
        seconds = time.perf_counter() - start
        return seconds, {band.value: part.pooled.rows(0, 2000) for band, part in found.bands.items()}


def row(pairs: int, size: tuple[int, int], model: str, options: Options, engine: Engine) -> str:
    with tempfile.TemporaryDirectory() as folder:
        frames = scan(sample_pairs(Path(folder), pairs, size))
        here, one = timed(frames, model, options, IN_PROCESS)
        there, two = timed(frames, model, options, engine)
        again, _ = timed(frames, model, options, IN_PROCESS)
    here = (here + again) / 2  # before and after, for the machine's load changes
    apart = max(float(np.abs(one[band] - two[band]).max()) for band in one)
    n = 2 * pairs
    same = "equal" if apart == 0 else f"at most {apart:.1e} apart"
    rates = f"{n / here:.1f} images/s | {n / there:.1f} images/s"
    return (
        f"| {n:,} | `{model}`, {options.size[1]} x {options.size[0]} | {rates} | {here / there:.2f} | {same} |"
    )


def main(factor: int = 1) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, connect=False, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    engine = RayEngine(cluster.address)
    rows = [
        row(1800 // factor, (500, 330), "crossband", Options(), engine),
        row(10_000 // factor, (64, 48), "hog", Options(size=(64, 64)), engine),
    ]
    text = f"{HEAD}\n" + "\n".join(rows) + f"\n\n{machine()}."
    print(text)
    if factor == 1:
        write_section(ROOT / "docs" / "scale.md", "engines", text)
    cluster.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
