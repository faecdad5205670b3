"""crossband serve under load, on loopback: ``python -m benchmarks.serve FRAMES [--rows N] [--searches N]``.

A gallery of real frames' vectors and of many more made by perturbing them; searches by upload, sixteen at once;
then requests of every kind, up to the given number; hostile uploads if asked. Prints errors, times and memory.
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
            if client.get(f"{url}/health").json()["ready"]:
                break
        except httpx.TransportError:
            time.sleep(0.2)
    print(f"{machine()}\nusable after {time.perf_counter() - began:.1f} s")
    frames = open_frames(given.frames)
    files = [path.read_bytes() for path in frames.paths("rgb") if path is not None]
    asking = Asking(client, url, f"{url}/galleries/{name}", files)
    asking.search(0)
    before = resident(server.pid)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        start = time.perf_counter()
        seconds = list(pool.map(asking.search, range(given.searches)))
        whole = time.perf_counter() - start
        print(
            f"{given.searches} searches among {given.rows:,}, {AT_ONCE} at once: {len(asking.errors)} errors, "
            f"{percentiles(seconds)}, {given.searches / whole:.1f} a second"
        )
        print(f"memory of the server and its decoders: {before:.0f} MiB, then {resident(server.pid):.0f} MiB")
        for first in range(0, given.requests, 1000):
            seconds = list(pool.map(asking.mixed, range(first, min(given.requests, first + 1000))))
            print(
                f"{first + len(seconds)} mixed requests: {percentiles(seconds)}; "
                f"memory {resident(server.pid):.0f} MiB, of them {asking.kept():.0f} of pictures that wait for "
                f"their search, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    print(f"requests by kind: {dict(sorted(asking.counts.items()))}")
    print(f"errors in all: {len(asking.errors)} {asking.errors[:3]}")
    if given.hostile:
        attack(server, client, url, given.hostile)


class Asking:
    """Requests as people and programs make them: each returns its seconds; what went wrong is in ``errors``."""

    def __init__(self, client: httpx.Client, url: str, gallery: str, files: list[bytes]) -> None:
        self.errors: list[str] = []
        self.counts: dict[str, int] = {}
        self._client, self._url, self._gallery, self._files = client, url, gallery, files
        items = client.get(f"{gallery}/items", params={"limit": 200, "where": "frame < 'a'"}).json()["items"]
        self._items = [one["id"] for one in items]
        self._thermal = [one["id"] for one in items if one["band"] == "tir"]

    def search(self, i: int) -> float:
        """Search by a picture that is sent."""
        start = time.perf_counter()
        data = {"band": "rgb", "k": "10", "rerank": "0"}
        files = {"image": self._files[i % len(self._files)]}
        answer = self._client.post(f"{self._gallery}/search", files=files, data=data)
        if answer.status_code != 200 or len(answer.json()["matches"]) != 10:
            self.errors.append(f"{answer.status_code} {answer.text[:100]}")
        return time.perf_counter() - start

    def mixed(self, i: int) -> float:
        """Make one request of many kinds, in turn."""
        start = time.perf_counter()
        kind = KINDS[i % len(KINDS)]
        if i % 500 == 499:
            kind = RARE[i // 500 % len(RARE)]
        self.counts[kind] = self.counts.get(kind, 0) + 1
        answer = getattr(self, f"_{kind}")(i)
        if answer.status_code != 200:
            self.errors.append(f"{kind}: {answer.status_code} {answer.text[:100]}")
        return time.perf_counter() - start

    def kept(self) -> float:
        """MiB of pictures that the server keeps for their searches, of 256 at most."""
        text = self._client.get(f"{self._url}/metrics").text
        line = next(line for line in text.splitlines() if line.startswith("crossband_uploads_bytes "))
        return float(line.split()[1]) / 2**20

    def _get(self, path: str, **params: object) -> httpx.Response:
        return self._client.get(f"{self._gallery}/{path}", params=params)

    def _by_upload(self, i: int) -> httpx.Response:
        data = {"band": "rgb", "k": "24", "where": "band = 'tir' AND condition = 'night'", "rerank": "0"}
        files = {"image": self._files[i % len(self._files)]}
        return self._client.post(f"{self._gallery}/search", files=files, data=data)

    def _by_item(self, i: int) -> httpx.Response:
        data = {"item": self._items[i % len(self._items)], "crop": "0.1,0.1,0.9,0.9", "rerank": "0"}
        return self._client.post(f"{self._gallery}/search", data=data)

    def _upload(self, i: int) -> httpx.Response:
        files = {"image": self._files[i % len(self._files)] + str(i).encode()}
        sent = self._client.post(f"{self._url}/uploads", files=files)
        return self._client.get(f"{self._url}/uploads/{sent.json()['id']}/image") if sent.is_success else sent

    def _page(self, i: int) -> httpx.Response:
        return self._client.get(self._url.removesuffix("/api/v1") + "/")

    def _listed(self, i: int) -> httpx.Response:
        return self._get("items", where="condition = 'day'", sort="place", offset=i % 5000)

    def _facets(self, i: int) -> httpx.Response:
        return self._get("facets", where="band = 'tir'")

    def _picture(self, i: int) -> httpx.Response:
        return self._get(f"items/{self._items[i % len(self._items)]}/image", size=800 + i % 100)

    def _thumbnail(self, i: int) -> httpx.Response:
        return self._get(f"items/{self._items[i % len(self._items)]}/thumbnail", size=100 + i % 200)

    def _temperature(self, i: int) -> httpx.Response:
        return self._get(f"items/{self._thermal[i % len(self._thermal)]}/temperature", x=i % 200, y=i % 150)

    def _metrics(self, i: int) -> httpx.Response:
        return self._client.get(f"{self._url}/metrics")

    def _reranked(self, i: int) -> httpx.Response:
        data = {"item": self._items[i % len(self._items)], "rerank": "10"}
        return self._client.post(f"{self._gallery}/search", data=data)

    def _positions(self, i: int) -> httpx.Response:
        return self._get("positions")

    def _align(self, i: int) -> httpx.Response:
        first, second = self._files[0], self._files[0]
        form = {"first_band": "rgb", "second_band": "rgb"}
        return self._client.post(f"{self._url}/align", files={"first": first, "second": second}, data=form)

    def _duplicates(self, i: int) -> httpx.Response:
        return self._get("duplicates", band="tir")


KINDS = ["by_upload", "thumbnail", "listed", "thumbnail", "upload", "thumbnail", "temperature", "picture"]
KINDS += ["by_item", "thumbnail", "page", "thumbnail", "facets", "thumbnail", "temperature", "metrics"]
RARE = ["positions", "align", "duplicates", "reranked"]


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
