"""A gallery of a million vectors: ingest with kills, index, memory, disk, latency, recall; against FAISS flat.

``python -m benchmarks.gallery FOLDER FRAMES... [--rows 1000000]``: every stage leaves a file in FOLDER, and a
run that was stopped goes on behind the last. The vectors are made of real ones, of the images of FRAMES by
``crossband512``: each lies between a real vector and one of its ten nearest, with a little noise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossband.datasets import open_frames
from crossband.retrieval import Descriptor, Gallery, Options, embed
from crossband.retrieval.descriptor_cache import ArrayRows
from crossband.retrieval.gallery import tuning
from crossband.retrieval.gallery.coding import stored_dtype
from crossband.retrieval.gallery.lance import row_schema
from crossband.retrieval.search import exact_search

from ._harness import machine

BATCH, QUERIES, MEMORY = 1000, 1000, 16 << 30
WHERE = {"all": None, "30 %": "x < 0.3", "1 %": "x < 0.01", "1 %, of one place": "sequence = '7'"}


def real_vectors(folder: Path, sources: list[str]) -> np.ndarray:
    """The vectors of the images of some frames, both bands, each centered by its own mean."""
    found = []
    for source in sources:
        embedding = embed(
            open_frames(source), "crossband512", store=folder / "store", options=Options(device="cpu")
        )
        found += [embedding.rows(band).rows(0, len(part.positions)) for band, part in embedding.bands.items()]
    return np.concatenate(found)


def made(real: np.ndarray, start: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``start`` to ``start + n`` of the million, and which real vector each is made of."""
    generator = np.random.default_rng([1, start])
    base = generator.integers(0, len(real), n)
    near = np.load(real_neighbors)[base, generator.integers(0, 10, n)]
    share = generator.random((n, 1), np.float32) * 0.5
    spread = 0.25 * np.linalg.norm(real[base] - real[near], axis=1, keepdims=True) / real.shape[1] ** 0.5
    noise = generator.standard_normal((n, real.shape[1]), np.float32) * spread
    vectors = real[base] + share * (real[near] - real[base]) + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), base


real_neighbors = Path("neighbors.npy")


def table(gallery: Gallery, vectors: np.ndarray, base: np.ndarray, start: int) -> pa.Table:
    """Some rows as the gallery keeps them."""
    n = len(vectors)
    schema = row_schema(vectors.shape[1], stored_dtype(gallery.coding.dtype))
    numbers = [f"{start + i:09d}" for i in range(n)]
    columns: dict[str, Any] = {name: [None] * n for name in schema.names}
    columns.update(
        key=[f"0123456789abcdef|{number}|tir" for number in numbers],
        frame=numbers,
        band=["tir"] * n,
        path=[f"/data/recordings/2026/{number}.png" for number in numbers],
        digest=[f"{number * 3}-{number}" for number in numbers],
        x=np.random.default_rng([2, start]).random(n).tolist(),
        sequence=[str(one % 100) for one in base],
    )
    stored = gallery.coding.stored(vectors)
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), vectors.shape[1])
    return pa.table(columns, schema=schema)


def write(folder: Path, rows: int) -> None:
    """What a child does: add batches from where the gallery ends, and say each once it is acknowledged."""
    real, gallery = np.load(folder / "real.npy"), Gallery.open(folder / "float32", Options(device="cpu"))
    for start in range(gallery.rows.count(), rows, BATCH):
        vectors, base = made(real, start, BATCH)
        begun = time.perf_counter()
        gallery.rows.upsert(table(gallery, vectors, base, start))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(start + BATCH, time.perf_counter() - begun, peak, flush=True)


def ingest(folder: Path, rows: int, kills: int) -> dict[str, Any]:
    """Let children write the rows, and kill them now and then."""
    lost, seconds, added, peak, killed = 0, 0.0, 0, 0.0, 0
    while (there := Gallery.open_rows(folder / "float32").count()) < rows:
        command = [sys.executable, "-m", "benchmarks.gallery", str(folder), "--write", "--rows", str(rows)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        until = there + (rows // (kills + 1) // BATCH) * BATCH if killed < kills else rows + 1
        acknowledged = there
        for line in child.stdout:
            acknowledged, took, peak = int(line.split()[0]), float(line.split()[1]), float(line.split()[2])
            seconds, added = seconds + took, added + BATCH
            if acknowledged >= until:
                time.sleep(random.Random(killed).uniform(0, 0.1))
                child.send_signal(signal.SIGKILL)
                killed += 1
                break
        said = [int(line.split()[0]) for line in child.stdout if line.count(" ") == 2]
        child.wait()
        found = Gallery.open_rows(folder / "float32").count()
        lost += max(0, max([acknowledged, *said]) - found) + found % BATCH
    return {"rows": rows, "kills": killed, "lost": lost, "rows_per_s": added / seconds, "peak_mb": peak}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) >> 20


def resident() -> int:
    """Megabytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def answered(
    search: Callable[[np.ndarray], list[str]], queries: np.ndarray, truth: list[list[str]]
) -> dict[str, float]:
    """Recall at 10, and milliseconds of one query: on the clock, and of the processor."""
    took, hits, processor = [], [], time.process_time()
    for query, right in zip(queries, truth, strict=True):
        start = time.perf_counter()
        found = search(query)
        took.append(1000 * (time.perf_counter() - start))
        hits.append(len(set(found) & set(right)) / len(right))
    p50, p95 = np.percentile(took, [50, 95])
    each = 1000 * (time.process_time() - processor) / len(queries)
    return {"recall": float(np.mean(hits)), "p50_ms": float(p50), "p95_ms": float(p95), "processor_ms": each}


def searched(
    folder: Path, dtype: str, truth: dict[str, list[list[str]]], queries: np.ndarray
) -> dict[str, Any]:
    """Memory, disk, recall and latency of one gallery."""
    gallery = Gallery.open(folder / dtype, Options(device="cpu"))
    before, start = resident(), time.perf_counter()
    gallery.nearest(queries[0], 10, max_memory=MEMORY)
    loaded = time.perf_counter() - start
    answer: dict[str, Any] = {
        "way": gallery.finder.way(MEMORY),
        "load_s": loaded,
        "memory_mb": resident() - before,
    }
    answer |= {"disk_mb": size_of(folder / dtype / "rows.lance"), **Gallery.info(folder / dtype)["search"]}
    for name, where in WHERE.items():
        gallery.finder.keys(queries[0], 10, where, None, MEMORY)  # the condition's rows are remembered
        right = truth[name]
        answer[name] = answered(
            lambda q, w=where: gallery.finder.keys(q, 10, w, None, MEMORY), queries[: len(right)], right
        )
    return answer


def truths(folder: Path, queries: np.ndarray) -> dict[str, Any]:
    """The ten nearest by exact search, under each condition; and exact search beside FAISS flat, in turn."""
    import faiss

    gallery = Gallery.open(folder / "float32", Options(device="cpu"))
    vectors, keys, kept = [], [], {name: [] for name in WHERE}
    for batch in gallery.rows.stream(["key", "x", "sequence", "vector"], 20_000):
        vectors.append(batch["vector"].combine_chunks().flatten().to_numpy().reshape(len(batch), -1))
        keys += batch["key"].to_pylist()
        x, sequence = batch["x"].to_numpy(), np.array(batch["sequence"].to_pylist())
        parts = (np.ones(len(x), bool), x < 0.3, x < 0.01, sequence == "7")
        for name, part in zip(WHERE, parts, strict=True):
            kept[name].append(part)
    rows = ArrayRows(np.concatenate(vectors))
    del vectors
    flat = faiss.IndexFlatL2(rows.shape[1])
    flat.add(rows.rows(0, rows.shape[0]))
    answer: dict[str, Any] = {"exact": {}, "faiss": {}, "threads": faiss.omp_get_max_threads()}
    exact_search(ArrayRows(queries[:1]), rows, 10)  # norms, once
    for name, n in (("1", 1), ("1000", 1000)):
        ours, theirs = [], []
        for turn in range(9 if n == 1 else 1):
            some = queries[turn : turn + n] if n == 1 else queries[:n]
            for took, work in (
                (theirs, lambda q=some: flat.search(q, 10)),
                (ours, lambda q=some: exact_search(ArrayRows(q), rows, 10)),
            ):
                start = time.perf_counter()
                work()
                took.append(time.perf_counter() - start)
        answer["exact"][name], answer["faiss"][name] = float(np.median(ours)), float(np.median(theirs))
    answer["truth"] = {}
    for name in WHERE:
        found = exact_search(ArrayRows(queries[:200]), rows, 10, keep=np.concatenate(kept[name]))[1]
        answer["truth"][name] = [[keys[i] for i in row] for row in found]
    return answer


def stage(folder: Path, name: str, work: Callable[[], Any]) -> Any:
    path = folder / f"{name}.json"
    if not path.exists():
        start, processor = time.perf_counter(), time.process_time()
        found = work()
        took = {"seconds": time.perf_counter() - start, "processor_s": time.process_time() - processor}
        path.write_text(json.dumps({"machine": machine(), **took, "found": found}))
        text = path.read_text()
        print(name, text if len(text) < 4000 else "done", flush=True)
    return json.loads(path.read_text())["found"]


def main() -> None:
    global real_neighbors
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("frames", nargs="*")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--dtypes", default="float16,int8,pq,binary")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    folder, rows = asked.folder, asked.rows
    folder.mkdir(parents=True, exist_ok=True)
    real_neighbors = folder / "neighbors.npy"
    if asked.write:
        write(folder, rows)
        return
    if not (folder / "real.npy").exists():
        real = real_vectors(folder, asked.frames)
        _, near = exact_search(ArrayRows(real), ArrayRows(real), 11)
        np.save(folder / "neighbors.npy", near[:, 1:])
        np.save(folder / "real.npy", real)
    real = np.load(folder / "real.npy")
    queries, _ = made(real, 10**9, QUERIES)
    descriptor = replace(Descriptor.load("hog", Options(size=(64, 64), device="cpu")), means={}, axes=None)
    sample = made(real, 2 * 10**9, 20_000)[0]
    if not (folder / "float32" / "gallery.json").exists():
        Gallery.create(folder / "float32", descriptor, sample)
    stage(folder, "ingest", lambda: ingest(folder, rows, asked.kills))
    stage(folder, "compact", lambda: (tuning.optimize(folder / "float32"), size_of(folder / "float32"))[1])
    truth = stage(folder, "exact", lambda: truths(folder, queries))["truth"]
    for dtype in ("float32", *asked.dtypes.split(",")):
        stage(folder, f"{dtype}-filled", lambda d=dtype: filled(folder, d, descriptor, sample))
        stage(folder, f"{dtype}-index", lambda d=dtype: indexed(folder, d))
        stage(folder, f"{dtype}-searched", lambda d=dtype: searched(folder, d, truth, queries))


def filled(folder: Path, dtype: str, descriptor: Descriptor, sample: np.ndarray) -> int:
    """The same rows in a gallery of another dtype."""
    if dtype != "float32":
        source = Gallery.open_rows(folder / "float32")
        target = Gallery.create(folder / dtype, descriptor, sample, dtype)
        columns = row_schema(1, "float32").names
        for batch in source.stream(columns, 20_000):
            vectors = batch["vector"].combine_chunks().flatten().to_numpy().reshape(len(batch), -1)
            stored = target.coding.stored(vectors)
            numbers = pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), vectors.shape[1])
            kind = row_schema(vectors.shape[1], stored_dtype(dtype)).field("vector")
            target.rows.upsert(batch.drop_columns(["vector"]).append_column(kind, numbers))
        target.rows.optimize(False)
    return Gallery.open_rows(folder / dtype).count()


def indexed(folder: Path, dtype: str) -> dict[str, Any]:
    return tuning.optimize(folder / dtype, index=True, max_memory=MEMORY).to_dict()


if __name__ == "__main__":
    main()
