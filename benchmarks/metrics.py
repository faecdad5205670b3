"""Recall, CMC-style ranking and CKA against the usual per-query loops and the textbook formula."""

from __future__ import annotations

import numpy as np

from crossband.metrics import cmc, linear_cka, rank_positives, recall_at
from crossband.metrics.protocol import PositiveMask
from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.search import distance_blocks

from ._harness import HEAD, in_turn, line, machine


def loop_recall(queries: np.ndarray, gallery: np.ndarray) -> list[float]:
    """One query after another: distances, argsort, look where the right one is."""
    ranks = []
    for row, query in enumerate(queries):
        order = np.argsort(np.linalg.norm(gallery - query, axis=1))
        ranks.append(int(np.flatnonzero(order == row)[0]))
    return [100 * float(np.mean(np.array(ranks) < n)) for n in (1, 5, 10)]


def loop_cmc(distances: np.ndarray, mine: np.ndarray, theirs: np.ndarray, length: int) -> np.ndarray:
    """The ranking of re-identification code: argsort a query's row, mark the matches, accumulate."""
    curves = []
    for row, identity in zip(distances, mine, strict=True):
        matches = (theirs[np.argsort(row)] == identity).astype(int)
        if matches.any():
            curves.append(matches.cumsum().clip(max=1)[:length])
    return 100 * np.mean(curves, axis=0)


def loop_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Through the covariance of the dims, as written in most code; d x d."""
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def main() -> str:
    generator, rows = np.random.default_rng(0), []
    gallery = generator.standard_normal((4000, 512), np.float32)
    queries = gallery + generator.standard_normal(gallery.shape, np.float32)
    frames = np.arange(len(gallery))

    def recall() -> list[float]:
        blocks = distance_blocks(ArrayRows(queries), ArrayRows(gallery))
        ranks = rank_positives(blocks, PositiveMask(frames, frames, None))
        return [recall_at(ranks, n) for n in (1, 5, 10)]

    assert np.allclose(recall(), loop_recall(queries, gallery))
    times = in_turn({"loop": lambda: loop_recall(queries, gallery), "ours": recall}, rounds=3)
    rows.append(
        line(
            "Recall@N, 4,000 x 4,000 of 512 dims",
            times["ours"].ratio(times["loop"]),
            "a loop over queries with argsort",
            "at least 10",
        )
    )

    identities = generator.integers(0, 750, 3368), generator.integers(0, 750, 15_913)
    distances = generator.random((3368, 15_913), np.float32)

    def curve() -> np.ndarray:
        blocks = ((start, distances[start : start + 256]) for start in range(0, len(distances), 256))
        return cmc(rank_positives(blocks, PositiveMask(*identities, None)), 50)

    assert np.allclose(curve(), loop_cmc(distances, *identities, 50))
    times = in_turn({"loop": lambda: loop_cmc(distances, *identities, 50), "ours": curve}, rounds=3)
    rows.append(
        line(
            "CMC to rank 50, 3,368 x 15,913",
            times["ours"].ratio(times["loop"]),
            "a loop over queries with argsort",
            "at least 10",
        )
    )

    x, y = generator.standard_normal((221, 8000)), generator.standard_normal((221, 8000))
    assert np.isclose(linear_cka(x, y), loop_cka(x, y))
    times = in_turn({"plain": lambda: loop_cka(x, y), "ours": lambda: linear_cka(x, y)}, rounds=3)
    rows.append(
        line(
            "CKA, 221 frames of 8,000 dims",
            times["ours"].ratio(times["plain"]),
            "the formula on d x d covariances",
            "at least 10",
        )
    )
    return "\n".join([f"Metrics ({machine()}):", "", HEAD, *rows])


if __name__ == "__main__":
    print(main())
