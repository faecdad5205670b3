"""A small gallery, a server over it in this process, and a client that speaks to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="no fastapi: the extra serve is not installed")
pytest.importorskip("httpx", reason="no httpx: FastAPI's TestClient needs it")

from fastapi.testclient import TestClient

from crossband.frames import Frames
from crossband.retrieval import Options, index
from crossband.server import Settings
from crossband.server.app import create_app
from crossband.server.start import server_of

from ..conftest import write_pairs

SIZE = (64, 64)
N = 8


def frames_of(root: Path, n: int, **columns: Callable[[int], object]) -> Frames:
    """Write the ``n`` pairs of a folder as frames of places of two, with more columns by a frame's number."""
    rows = [
        {
            "frame": f"{i:04d}",
            "rgb": f"rgb/{i:04d}.png",
            "tir": f"tir/{i:04d}.png",
            "tir_units": "centikelvin",
            "place": f"place{i // 2}",
            **{name: value(i) for name, value in columns.items()},
        }
        for i in range(n)
    ]
    return Frames.make(rows, root)


class Serving:
    """A server in a thread of this process."""

    def __init__(self, settings: Settings) -> None:
        app = create_app(settings)
        self.service = app.state.service
        self._server = server_of(app, settings)
        self._socket = self._server.config.bind_socket()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.05)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)


@pytest.fixture(scope="session")
def frames(tmp_path_factory) -> Frames:
    """Eight pairs with metadata."""
    return frames_of(
        write_pairs(tmp_path_factory.mktemp("serve") / "pairs", n=N),
        N,
        camera=lambda i: "o'er" if i % 2 else "north",
        time=lambda i: f"2026-01-0{i + 1}T10:00:00",
        lat=lambda i: 46.5 + i * 1e-4,
        lon=lambda i: 6.6,
    )


@pytest.fixture(scope="session")
def gallery(frames, tmp_path_factory) -> Path:
    """A gallery of both bands by ``hog``; not to be changed."""
    folder = tmp_path_factory.mktemp("galleries") / "city"
    index(frames, folder, "hog", options=Options(size=SIZE), workers=1)
    return folder


@pytest.fixture(scope="session")
def client(gallery, tmp_path_factory) -> Iterator[TestClient]:
    """A client of a read-only server."""
    reports = tmp_path_factory.mktemp("reports")
    (reports / "report.html").write_text("<h1>told</h1><script>alert(1)</script>")
    (reports / "secret.txt").write_text("not to be seen")
    patient = {"seconds": 600, "decoder_seconds": 300}  # however busy the machine is
    settings = Settings(
        galleries={"city": gallery},
        reports={"runs": reports},
        log=False,
        decoders=1,
        requests=0,
        searches=0,
        **patient,
    )
    with TestClient(create_app(settings), base_url="http://localhost") as made:
        yield made


@pytest.fixture
def photo(frames) -> bytes:
    """The RGB image of frame 3."""
    return (frames.root / "rgb" / "0003.png").read_bytes()
