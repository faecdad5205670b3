"""Similarity maps: masks in batches, where only what a mask changes is computed, against one mask at a time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from crossband.bands import Band
from crossband.io import read_image
from crossband.retrieval import Descriptor, Options
from crossband.retrieval.descriptor.descriptor import Finish
from crossband.retrieval.embed import threads_per_pass
from crossband.retrieval.similarity_map import Masks, SimilarityMap, similarity_map

from ._harness import HEAD, in_turn, line, machine, sample_pairs

MODELS = ("efficientnet_lite0@blocks.4:avg5s3+center", "squeezenet1_1@features.7")
MASKS = Masks(40, 16)


def one_at_a_time(
    descriptor: Descriptor, image: torch.Tensor, reference: np.ndarray, finish: Finish
) -> SimilarityMap:
    """By the book: hide a window, describe the image, measure the distance."""
    whole = finish(descriptor.pooled(image[None]).numpy(), Band.RGB)[0]
    distance = float(np.linalg.norm(whole - reference))
    total, count = np.zeros((2, *image.shape[1:]))
    for y, x in MASKS.corners((int(image.shape[1]), int(image.shape[2]))):
        vector = finish(descriptor.pooled(MASKS.apply(image, (y, x))[None]).numpy(), Band.RGB)[0]
        spread = slice(y, y + MASKS.window), slice(x, x + MASKS.window)
        total[spread] += max(float(np.linalg.norm(vector - reference)) - distance, 0)
        count[spread] += 1
    return SimilarityMap((total / count).astype(np.float32), distance)


def main(rounds: int = 3) -> str:
    rows, apart, n = [], 0.0, len(MASKS.corners((320, 320)))
    with tempfile.TemporaryDirectory() as folder:
        pairs = sample_pairs(Path(folder), 1)
        for name in MODELS:
            descriptor = Descriptor.load(name, Options(device="cpu"))
            images = [
                descriptor.preprocess(read_image(pairs / band / "00000.jpg", band), band)
                for band in ("rgb", "tir")
            ]
            vectors = descriptor.pooled(torch.stack(images)).numpy()
            zero = {Band.RGB: np.zeros(vectors.shape[1], np.float32)}
            finish = descriptor.finish(zero if descriptor.center else None)
            reference = finish(vectors, Band.RGB)[1]
            found: dict[str, SimilarityMap] = {}

            def batched(d=descriptor, i=images[0], r=reference, f=finish, out=found) -> None:
                out["batched"] = similarity_map(d, i, Band.RGB, r, f, MASKS)

            def single(d=descriptor, i=images[0], r=reference, f=finish, out=found) -> None:
                out["single"] = one_at_a_time(d, i, r, f)

            contenders = {"batched": batched, "single": single}
            with threads_per_pass(1):  # waiting threads are not work
                times = in_turn(contenders, rounds, warmup=0, clock=time.process_time)
            difference = np.abs(found["batched"].values - found["single"].values).max()
            apart = max(apart, float(difference / found["single"].values.max()))
            what = f"{n} masks of 320x320, `{name}`"
            ratio = times["batched"].ratio(times["single"])
            rows.append(line(f"{what}, processor time", ratio, "one mask at a time", "5"))
            print(rows[-1], flush=True)
    return "\n".join(
        [
            HEAD,
            *rows,
            "",
            f"The maps differ by {apart:.1e} of their largest value at most. Rounds: {rounds}. {machine()}.",
        ]
    )


if __name__ == "__main__":
    print(main())
