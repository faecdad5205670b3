"""Exact search against FAISS's flat index, on the same arrays, the same number of threads."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.search import exact_search

from ._harness import HEAD, in_turn, line, machine

CASES = ((1000, 100_000, 256), (1000, 100_000, 512), (1, 100_000, 512), (221, 221, 184_832))


def main() -> str:
    import faiss

    faiss.omp_set_num_threads(os.cpu_count() or 1)
    generator, rows = np.random.default_rng(0), []
    for n, m, d in CASES:
        queries, gallery = (generator.standard_normal((count, d), np.float32) for count in (n, m))
        flat = faiss.IndexFlatL2(d)
        flat.add(gallery)
        rows_in_memory = ArrayRows(gallery)
        found: dict[str, np.ndarray] = {}

        def ours(q: np.ndarray = queries, g: ArrayRows = rows_in_memory, out: dict = found) -> None:
            out["ours"] = exact_search(ArrayRows(q), g, 10)[1]

        def theirs(q: np.ndarray = queries, index: Any = flat, out: dict = found) -> None:
            out["faiss"] = index.search(q, 10)[1]

        times = in_turn({"faiss": theirs, "ours": ours}, rounds=5)
        agree = 100 * float((found["ours"] == found["faiss"]).mean())
        what = f"exact search, {n} queries, {m:,} x {d:,}, k = 10 ({agree:.2f} % the same rows)"
        rows.append(line(what, times["ours"].ratio(times["faiss"]), "FAISS `IndexFlatL2`", "at least 0.83"))
    return "\n".join([f"Exact search ({machine()}):", "", HEAD, *rows])


if __name__ == "__main__":
    print(main())
