"""A server that is killed while it writes: what it has acknowledged is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from crossband.retrieval import Gallery

from ..conftest import write_pairs

KILLS = int(os.environ.get("CROSSBAND_KILLS", 1))
ACKNOWLEDGED = 5  # before each kill


@pytest.fixture
def folder(gallery, tmp_path) -> Path:
    return shutil.copytree(gallery, tmp_path / "city")


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The real command, and its address once it answers."""
    command = [sys.executable, "-m", "crossband", "serve", "--gallery", str(folder), "--port", "0"]
    server = subprocess.Popen([*command, "--writable", "--searches", "0"], stderr=subprocess.PIPE, text=True)
    assert server.stderr
    line = server.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line
    return server, f"{found[0]}/api/v1/galleries/city"


class Adding(threading.Thread):
    """Adds images until the server answers no more; ``acknowledged`` are those it said were added."""

    def __init__(self, url: str, name: str, photo: bytes, enough: threading.Event) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self._url, self._name, self._photo, self._enough = url, name, photo, enough

    def run(self) -> None:
        with httpx.Client(timeout=600) as client:
            for i in range(10_000):
                frame = f"{self._name}{i}"
                form = {"frame": frame, "band": "rgb", "metadata": f'{{"place": "{frame}"}}'}
                photo = self._photo + frame.encode()  # behind its end a PNG may hold anything: all differ
                try:
                    answer = client.post(f"{self._url}/items", files={"image": photo}, data=form)
                except httpx.TransportError:
                    return
                assert answer.json()["added"] == 1, answer.text
                self.acknowledged.append(frame)
                if len(self.acknowledged) == ACKNOWLEDGED:
                    self._enough.set()


@pytest.mark.slow
def test_a_server_killed_while_it_writes_has_lost_nothing_it_acknowledged(folder, tmp_path):
    photo = (write_pairs(tmp_path / "new", n=1, seed=5) / "rgb" / "0000.png").read_bytes()
    acknowledged: list[str] = []
    for turn in range(KILLS):
        server, url = start(folder)
        enough = threading.Event()
        writers = [Adding(url, f"{turn}{name}", photo, enough) for name in "ab"]
        try:
            for writer in writers:
                writer.start()
            assert enough.wait(600)
        finally:
            server.kill()
            server.wait()
        for writer in writers:
            writer.join(60)
            acknowledged += writer.acknowledged
        rows = Gallery.open_rows(folder).read(["frame", "path", "place"]).to_pylist()
        there = {row["frame"]: row for row in rows}
        assert set(acknowledged) <= set(there)
        for frame in acknowledged:
            assert there[frame]["place"] == frame
            assert Path(there[frame]["path"]).read_bytes() == photo + frame.encode()
    assert len(acknowledged) >= KILLS * ACKNOWLEDGED
