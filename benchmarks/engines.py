"""Embedding in this process and on two nodes of a Ray cluster on the same machine, in turn.

``python -m benchmarks.engines [FACTOR]`` embeds 3,600 images with the default descriptor and 20,000 small ones
with ``hog`` (both divided by FACTOR) and writes the table into docs/scale.md. The cluster is up before the
clock starts; that its workers start and load their network counts. ``python -m benchmarks.engines lost
[FACTOR]`` takes one of the two nodes away in the middle of the 20,000.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

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


def two_nodes() -> Any:
    """A cluster of two nodes that work, with a core each, and one that does not."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, connect=False, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    return cluster


def kill_a_node(cluster: Any) -> None:
    """Kill a node that works, and that this process does not speak to the cluster by."""
    import ray

    ours = ray._private.worker.global_worker.node._raylet_socket_name
    node = next(node for node in cluster.worker_nodes if node._raylet_socket_name != ours)
    cluster.remove_node(node, allow_graceful=False)


def end(cluster: Any) -> None:
    import ray

    ray.shutdown()  # else the cluster would not let go of the node that this process speaks by
    cluster.shutdown()


def lost(factor: int = 1) -> None:
    """Take a node away halfway through the time that the run takes with both."""
    cluster, options = two_nodes(), Options(size=(64, 64))
    engine = RayEngine(cluster.address)
    with tempfile.TemporaryDirectory() as folder:
        frames = scan(sample_pairs(Path(folder), 10_000 // factor, (64, 48)))
        _, one = timed(frames, "hog", options, IN_PROCESS)
        both, _ = timed(frames, "hog", options, engine)
        timer = threading.Timer(both / 2, kill_a_node, (cluster,))
        timer.start()
        alone, two = timed(frames, "hog", options, engine)
        timer.join()
    apart = max(float(np.abs(one[band] - two[band]).max()) for band in one)
    text = (
        f"One of the two nodes was killed {both / 2:.0f} s into {2 * len(frames):,} images (`hog`, 64 x 64), "
        f"which take {both:.0f} s with both: done after {alone:.0f} s, every image once, vectors at most "
        f"{apart:.1e} from those of one process. {machine()}."
    )
    print(text)
    if factor == 1:
        write_section(ROOT / "docs" / "scale.md", "lost", text)
    end(cluster)


def main(factor: int = 1) -> None:
    cluster = two_nodes()
    engine = RayEngine(cluster.address)
    rows = [
        row(1800 // factor, (500, 330), "crossband", Options(), engine),
        row(10_000 // factor, (64, 48), "hog", Options(size=(64, 64)), engine),
    ]
    text = f"{HEAD}\n" + "\n".join(rows) + f"\n\n{machine()}."
    print(text)
    if factor == 1:
        write_section(ROOT / "docs" / "scale.md", "engines", text)
    end(cluster)


if __name__ == "__main__":
    run = lost if sys.argv[1:2] == ["lost"] else main
    run(*map(int, sys.argv[1 + (run is lost) :]))
