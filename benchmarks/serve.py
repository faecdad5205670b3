"""crossband serve under load, on loopback: ``python -m benchmarks.serve FRAMES [--rows N] [--searches N]``.

A gallery of real frames' vectors and of many more made by perturbing them; searches by upload, sixteen at once;
then small requests up to the given number; hostile uploads if asked. Prints errors, times and memory.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa

from crossband.datasets import open_frames
from crossband.retrieval import Gallery, index

from ._harness import machine

AT_ONCE = 16


def fill(folder: Path, frames: str, rows: int) -> None:
    """A gallery of ``crossband512`` with so many rows; the added ones have no images."""
    if not (folder / "gallery.json").exists():
        index(open_frames(frames), folder, "crossband512", workers=1)
    gallery = Gallery.open(folder)
    real = gallery.rows.read(
        ["key", "frame", "band", "path", "digest", "place", "camera", "condition", "lat", "lon", "vector"]
    )
    vectors = np.array(real["vector"].to_pylist(), np.float32)
    rng = np.random.default_rng(0)
    from crossband.retrieval.gallery.lance import row_schema

    schema = row_schema(vectors.shape[1], "float32")
    there = len(real)
    while there < rows:
        n = min(10_000, rows - there)
        source = rng.integers(0, len(vectors), n)
        moved = vectors[source] + rng.normal(0, 0.6 / vectors.shape[1] ** 0.5, (n, vectors.shape[1]))
        moved = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
        columns: dict[str, object] = {name: [None] * n for name in schema.names}
        for name in ("band", "path", "digest", "place", "camera", "condition", "lat", "lon"):
            columns[name] = real[name].take(pa.array(source))
        columns["key"] = [f"made|{there + i}|tir" for i in range(n)]
        columns["frame"] = [f"made{there + i}" for i in range(n)]
        columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(moved.ravel()), vectors.shape[1])
        gallery.rows.upsert(pa.table({name: columns[name] for name in schema.names}).cast(schema))
        there += n
    gallery.rows.optimize(False)


def resident(pid: int) -> float:
    """MiB of a process and its children."""
    total = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(process.name) == pid or int(fields[1]) == pid:
                total += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        except OSError:
            continue
    return total


def percentiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {1000 * cuts[49]:.0f} ms, p95 {1000 * cuts[94]:.0f} ms, most {1000 * max(seconds):.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("frames")
    parser.add_argument("--gallery", type=Path, default=None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--hostile", type=int, default=0)
    parser.add_argument("--port", type=int, default=8750)
    given = parser.parse_args()
    folder = given.gallery or Path(tempfile.mkdtemp()) / "gallery"
    fill(folder, given.frames, given.rows)
    command = [sys.executable, "-m", "crossband", "serve", "--gallery", str(folder), "--port", str(given.port)]
    server = subprocess.Popen([*command, "--searches", "0"])
    url = f"http://127.0.0.1:{given.port}/api/v1"
    try:
        measure(server, url, folder.name, given)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def measure(server: subprocess.Popen[bytes], url: str, name: str, given: argparse.Namespace) -> None:
    began = time.perf_counter()
    client = httpx.Client(timeout=120, limits=httpx.Limits(max_connections=AT_ONCE))
    while True:
        try:
            client.get(f"{url}/health")
            break
        except httpx.TransportError:
            time.sleep(0.2)
    print(f"{machine()}\nusable after {time.perf_counter() - began:.1f} s")
    frames = open_frames(given.frames)
    files = [path.read_bytes() for path in frames.paths("rgb") if path is not None]
    search = f"{url}/galleries/{name}/search"
    errors: list[str] = []

    def once(i: int) -> float:
        start = time.perf_counter()
        data = {"band": "rgb", "k": "10", "rerank": "0"}
        answer = client.post(search, files={"image": files[i % len(files)]}, data=data)
        if answer.status_code != 200 or len(answer.json()["matches"]) != 10:
            errors.append(f"{answer.status_code} {answer.text[:100]}")
        return time.perf_counter() - start

    once(0)
    before = resident(server.pid)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        start = time.perf_counter()
        seconds = list(pool.map(once, range(given.searches)))
        whole = time.perf_counter() - start
        print(
            f"{given.searches} searches among {given.rows:,}, {AT_ONCE} at once: {len(errors)} errors, "
            f"{percentiles(seconds)}, {given.searches / whole:.1f} a second"
        )
        after = resident(server.pid)
        print(f"memory of the server and its decoders: {before:.0f} MiB, then {after:.0f} MiB")
        items = client.get(
            f"{url}/galleries/{name}/items", params={"limit": 60, "where": "frame < 'a'"}
        ).json()["items"]
        ids = [one["id"] for one in items]

        def small(i: int) -> float:
            start = time.perf_counter()
            size = 100 + i % 50
            answer = client.get(
                f"{url}/galleries/{name}/items/{ids[i % len(ids)]}/thumbnail", params={"size": size}
            )
            if answer.status_code != 200:
                errors.append(f"{answer.status_code} {answer.text[:100]}")
            return time.perf_counter() - start

        left, step = given.requests - given.searches, max(1, (given.requests - given.searches) // 3)
        for first in range(0, max(0, left), step):
            seconds = list(pool.map(small, range(first, min(left, first + step))))
            print(f"{len(seconds)} pictures: {percentiles(seconds)}; memory {resident(server.pid):.0f} MiB")
    print(f"errors in all: {len(errors)} {errors[:3]}")
    if given.hostile:
        attack(server, client, url, given.hostile)


def attack(server: subprocess.Popen[bytes], client: httpx.Client, url: str, n: int) -> None:
    """Send damaged and lying files."""
    from tests.server.test_safety import hostile

    told: dict[int, int] = {}
    slowest, most = 0.0, 0.0
    for data in hostile(n, seed=1):
        start = time.perf_counter()
        answer = client.post(
            f"{url}/uploads", files={"image": ("<img src=x onerror=alert(1)>", data, "text/html")}
        )
        slowest, most = max(slowest, time.perf_counter() - start), max(most, resident(server.pid))
        told[answer.status_code] = told.get(answer.status_code, 0) + 1
        if "onerror" in answer.text or "html" in answer.headers["content-type"]:
            print("markup in an answer:", answer.text[:100])
    print(f"{n} hostile uploads: {told}, slowest {slowest:.1f} s, most memory {most:.0f} MiB")


if __name__ == "__main__":
    main()
