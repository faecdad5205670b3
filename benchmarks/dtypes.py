"""What compact galleries lose: R@1 and R@5 of each dtype, both ways between rgb and tir.

``python -m benchmarks.dtypes FRAMES... [--models crossband512,crossband]``; right is the query's own frame, by
the descriptor alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from crossband.bands import Band
from crossband.datasets import open_frames
from crossband.retrieval import Gallery, Options, embed, index
from crossband.retrieval.gallery.coding import DTYPES

from ._harness import machine


def recalls(source: str, model: str, dtype: str, store: Path) -> list[float]:
    """R@1 and R@5 in percent, rgb to tir and tir to rgb; and the bytes of a row in memory."""
    frames, options, found = open_frames(source), Options(device="cpu"), []
    for query, kept in ((Band.RGB, Band.TIR), (Band.TIR, Band.RGB)):
        with tempfile.TemporaryDirectory() as folder:
            index(frames, folder, model, [kept.value], options=options, dtype=dtype, store=store)
            gallery = Gallery.open(folder, options)
            part = embed(frames, gallery.descriptor, [query], store=store).bands[query]
            vectors = gallery.descriptor.finish(None)(part.pooled.rows(0, len(part.positions)), query)
            ranks = []
            for position, vector in zip(part.positions, vectors, strict=True):
                names = [match.frame for match in gallery.nearest(vector, 5)]
                own = frames.names[position]
                ranks.append(names.index(own) if own in names else 5)
            found += [100 * float(np.mean(np.array(ranks) < k)) for k in (1, 5)]
            size = gallery.coding.in_memory(gallery.rows.size)
    return [*found, size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", nargs="+")
    parser.add_argument("--models", default="crossband512,crossband")
    parser.add_argument("--store", type=Path, default=Path("out/dtypes-store"))
    asked = parser.parse_args()
    print("| frames | model | dtype | R@1, R@5 rgb to tir | tir to rgb | GB per million in memory |")
    print("|---|---|---|---|---|---:|")
    for source in asked.frames:
        for model in asked.models.split(","):
            for dtype in DTYPES:
                one, five, back, back5, size = recalls(source, model, dtype, asked.store)
                told = f"{one:.1f}, {five:.1f} | {back:.1f}, {back5:.1f} | {size / 1000:.3f}"
                print(f"| {Path(source).name} | `{model}` | {dtype} | {told} |", flush=True)
    print(machine())


if __name__ == "__main__":
    main()
