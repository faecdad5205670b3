"""The time to re-rank the first ten of one query: batched, one candidate at a time, and by ALIKED's points.

``python -m benchmarks.reranking FOLDER`` measures on the pairs of a folder, with their features in memory, and
with ``--write`` puts its rows into docs/matching.md. ALIKED is measured where its weights are found.
"""

from __future__ import annotations

import argparse
import os
import resource
from pathlib import Path

import numpy as np
import torch

from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.matching import MatchReranker
from crossband.matching.keypoints import KeypointReranker, create_features
from crossband.nn.reranker import Reranker
from crossband.retrieval import Descriptor

from ._harness import ROOT, in_turn, machine, write_section
from .matching import two_bands

K = 10
HEAD = "| one query, k = 10 | ms, median | lowest to highest round | times the batched |\n|---|---:|---:|---:|"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="folder of ALIKED's weights")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    descriptor, frames = Descriptor.load(), two_bands(given.folder)
    statistics = descriptor.encoder.statistics
    distances = np.linspace(0, 1, K)
    rerankers: dict[str, Reranker] = {"own": MatchReranker(descriptor.encoder, descriptor.preprocess.size)}
    try:
        learned = create_features("aliked", given.weights)
        rerankers["aliked"] = KeypointReranker(learned, "aliked", statistics, 1024)
    except CrossbandError as error:
        print(error)
    kept = {}
    with torch.inference_mode():
        for name, reranker in rerankers.items():
            kept[name] = [
                [
                    reranker(descriptor.preprocess(read_image(path, band), band)[None])[0]
                    for path in frames.paths(band)[:K]
                    if path is not None
                ]
                for band in frames.bands[:2]
            ]
    own, (queries, items) = rerankers["own"], kept["own"]
    turn = iter(range(1 << 30))

    def batched() -> None:
        own.judge(queries[next(turn) % K], items, distances)

    def one_at_a_time() -> None:
        query = queries[next(turn) % K]
        for item, distance in zip(items, distances, strict=True):
            own.judge(query, [item], distance[None])

    contenders = {"batched, as it is": batched, "the same, one candidate at a time": one_at_a_time}
    if "aliked" in rerankers:
        points, (asked, searched) = rerankers["aliked"], kept["aliked"]

        def aliked() -> None:
            points.judge(asked[next(turn) % K], searched, distances)

        contenders["ALIKED-t16, 1,024 points, mutual nearest neighbors"] = aliked
    found = in_turn(contenders, given.rounds, warmup=3)
    base, lines = found["batched, as it is"], [HEAD]
    for name, timing in found.items():
        times, share = sorted(1e3 * s for s in timing.seconds), timing.median / base.median
        lines.append(
            f"| {name} | {1e3 * timing.median:.1f} | {times[0]:.1f} to {times[-1]:.1f} | {share:.2f} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = (
        f"Features in memory, {torch.get_num_threads()} threads of {os.cpu_count()}; peak memory {peak:.0f} MB."
    )
    text = "\n".join([*lines, "", f"{told} {machine()}"])
    print(text)
    if given.write:
        write_section(ROOT / "docs" / "matching.md", "query", text)


if __name__ == "__main__":
    main()
