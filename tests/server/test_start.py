"""``crossband serve`` before anything is served: what it refuses, and that it starts."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import httpx
import pytest

from crossband.errors import CrossbandError, MissingExtraError
from crossband.server import Settings, serve
from crossband.server.settings import named_folders

from ..cli.conftest import crossband, refused  # noqa: F401  (fixture)
from .conftest import Serving


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fastapi" else real(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'crossband\[serve\]'"):
        serve(Settings(galleries={}))


def test_nothing_of_the_extra_is_imported_with_the_package():
    code = (
        "import sys, crossband.server; print({'fastapi', 'uvicorn', 'starlette', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_mistakes_are_one_sentence(crossband, gallery, tmp_path, monkeypatch):  # noqa: F811
    refused(crossband("serve", "--gallery", "gone"), "gone", "--gallery")
    (tmp_path / "empty").mkdir()
    refused(crossband("serve", "--gallery", tmp_path / "empty"), "no gallery", "crossband index")
    (tmp_path / "token").write_text("short")
    refused(crossband("serve", "--gallery", gallery, "--token-file", tmp_path / "token"), "16", "--token-file")
    monkeypatch.setenv("CROSSBAND_TOKEN", "short")
    refused(crossband("serve", "--gallery", gallery), "16", "CROSSBAND_TOKEN")


def test_folders_of_one_name_are_told_apart(tmp_path):
    for place in ("a/city", "b/city"):
        (tmp_path / place).mkdir(parents=True)
    assert list(named_folders([tmp_path / "a/city", tmp_path / "b/city"], "gallery")) == ["city", "city-2"]
    with pytest.raises(CrossbandError, match="there is no gallery at"):
        named_folders([Path("gone")], "gallery")


@pytest.mark.slow
def test_it_starts_says_its_address_and_ends_when_asked(gallery):
    command = [sys.executable, "-m", "crossband", "serve", "--gallery", str(gallery), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr
        line = server.stderr.readline()
        address = line.split()[-1]
        assert address.startswith("http://127.0.0.1:"), line
        limit = time.monotonic() + 60
        while True:
            try:
                told = json.load(urllib.request.urlopen(f"{address}/api/v1/health", timeout=30))
                if told["ready"]:
                    break
            except OSError:
                pass
            assert time.monotonic() < limit
            time.sleep(0.2)
        assert told["status"] == "ok"
        assert told["writable"] is False
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_a_stopped_server_ends_its_event_streams_without_a_word(gallery, capfd):
    serving = Serving(Settings(galleries={"city": gallery}, log=False, decoders=1))
    jobs = serving.service.jobs
    jobs.told = lambda name: {"id": name, "status": "running"}  # type: ignore[method-assign]
    with httpx.stream("GET", f"{serving.url}/api/v1/jobs/a/events", timeout=30) as answer:
        lines = answer.iter_lines()
        assert "running" in next(lines)
        serving.stop()
        assert not any(lines)
    assert "Error" not in capfd.readouterr().err
