"""Scoring at the size of Market-1501 against the usual loop, and re-ranking 20,000 items, with peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from crossband.metrics.reid import ReidLabels, score_reid
from crossband.reid.k_reciprocal import rerank_blocks
from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.search import distance_blocks

from ._harness import HEAD, ROOT, Timing, in_turn, line, machine, write_section

QUERIES, GALLERY, IDENTITIES, CAMERAS, DIM = 3368, 15_913, 750, 6, 128


def people(n: int, rng: np.random.Generator, distractors: float = 0.2) -> tuple[np.ndarray, ReidLabels]:
    """Descriptors around one center an identity; some are nobody."""
    centers = np.random.default_rng(7).standard_normal((IDENTITIES, DIM), np.float32)
    identity = rng.integers(0, IDENTITIES, n)
    vectors = centers[identity] + 1.4 * rng.standard_normal((n, DIM), np.float32)
    identity[rng.random(n) < distractors] = -1
    nothing = np.full(n, -1)
    return vectors, ReidLabels(identity, rng.integers(0, CAMERAS, n), nothing, nothing)


def usual_loop(distances: np.ndarray, queries: ReidLabels, gallery: ReidLabels, most: int = 50) -> float:
    """One argsort of everything, then query by query over whole rankings; gives mAP in percent."""
    indices = np.argsort(distances, axis=1)
    matches = (gallery.identity[indices] == queries.identity[:, None]).astype(np.int32)
    curves, precisions = [], []
    for query in range(len(distances)):
        order = indices[query]
        own = gallery.identity[order] == queries.identity[query]
        keep = ~(own & (gallery.camera[order] == queries.camera[query]))
        found = matches[query][keep]
        if queries.identity[query] < 0 or not found.any():
            continue
        curves.append(np.minimum(found.cumsum(), 1)[:most])
        hits = [value / (place + 1.0) for place, value in enumerate(found.cumsum())]
        precisions.append((np.asarray(hits) * found).sum() / found.sum())
    return 100 * float(np.mean(precisions))


def scoring() -> tuple[Timing, Timing]:
    """The usual loop and ours, on the same distances."""
    rng = np.random.default_rng(0)
    (queries, q), (gallery, g) = people(QUERIES, rng, 0.0), people(GALLERY, rng)
    blocks = [block for _, block in distance_blocks(ArrayRows(queries), ArrayRows(gallery))]
    distances = np.concatenate(blocks)
    found: dict[str, float] = {}

    def loop() -> None:
        found["loop"] = usual_loop(distances, q, g)

    def ours() -> None:
        found["ours"] = score_reid([(0, distances)], q, g, "same-camera").mean_ap

    times = in_turn({"loop": loop, "ours": ours}, rounds=1, warmup=0)
    assert abs(found["loop"] - found["ours"]) < 1e-6, found
    return times["loop"], times["ours"]


def alone(what: str) -> dict[str, float]:
    """Seconds and peak memory of a part, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", __spec__.name, what], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def scored_from_vectors() -> None:
    """Market-1501's size, from descriptors to figures, no more than a block of distances at a time."""
    rng = np.random.default_rng(0)
    (queries, q), (gallery, g) = people(QUERIES, rng, 0.0), people(GALLERY, rng)
    score_reid(distance_blocks(ArrayRows(queries), ArrayRows(gallery), 64 << 20), q, g, "same-camera")


def reranked() -> None:
    """20,000 items: as many queries as Market-1501 has, the rest gallery."""
    rng = np.random.default_rng(0)
    (queries, q), (gallery, g) = people(QUERIES, rng, 0.0), people(20_000 - QUERIES, rng)
    score_reid(rerank_blocks(queries, gallery), q, g, "same-camera")


def main() -> str:
    loop, ours = scoring()
    return report(loop, ours)


def report(loop: Timing, ours: Timing) -> str:
    """The tables, with memory measured in processes of their own."""
    parts = {"base": alone("base"), "scored": alone("scored"), "reranked": alone("reranked")}
    ratio = line(
        f"CMC, mAP and mINP, {QUERIES:,} x {GALLERY:,}",
        ours.ratio(loop),
        "a loop over an argsort",
        "at least 40",
    )
    base = parts["base"]["mb"]
    memory = [
        "| what | seconds | peak memory, MB | of it above Python and libraries, MB | aim |",
        "|---|---|---|---|---|",
        f"| descriptors to figures, {QUERIES:,} x {GALLERY:,} x {DIM} | {parts['scored']['seconds']:.1f} "
        f"| {parts['scored']['mb']:.0f} | {parts['scored']['mb'] - base:.0f} | bounded |",
        f"| re-ranking, 20,000 x {DIM} | {parts['reranked']['seconds']:.1f} | {parts['reranked']['mb']:.0f} "
        f"| {parts['reranked']['mb'] - base:.0f} | under 2,000 |",
    ]
    seconds = f"Medians: {loop.median:.1f} s the loop, {ours.median:.2f} s ours."
    return "\n".join([f"Re-identification ({machine()}):", "", HEAD, ratio, "", seconds, "", *memory])


if __name__ == "__main__":
    run = {"base": lambda: None, "scored": scored_from_vectors, "reranked": reranked}
    if len(sys.argv) > 1:
        start = time.perf_counter()
        run[sys.argv[1]]()
        seconds = time.perf_counter() - start
        # not ru_maxrss, which a process takes over from the one that started it
        status = Path("/proc/self/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        print(json.dumps({"seconds": seconds, "mb": peak}))
    else:
        text = main()
        print(text)
        write_section(ROOT / "docs" / "reid.md", "reid-speed", text)
