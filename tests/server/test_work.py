"""Adding, deleting, and long work: done, canceled, and taken up again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from fastapi.testclient import TestClient

from crossband.retrieval import Gallery
from crossband.server import Settings
from crossband.server.app import create_app
from crossband.server.jobs import Jobs

from ..conftest import write_pairs

CITY = "/api/v1/galleries/city"
ENDED = ("done", "failed", "canceled")


@pytest.fixture
def folder(gallery, tmp_path):
    """A copy of the gallery, to be changed."""
    return shutil.copytree(gallery, tmp_path / "city")


@pytest.fixture
def writable(folder, tmp_path):
    more = write_pairs(tmp_path / "more", n=3, seed=9)
    settings = Settings(
        galleries={"city": folder},
        writable=True,
        log=False,
        decoders=1,
        state=tmp_path / "state",
        folders={"more": more},
        searches=0,
        requests=0,
    )
    with TestClient(create_app(settings), base_url="http://localhost") as made:
        yield made


def ended(client, name: str, seconds: float = 120) -> dict:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        told = client.get(f"/api/v1/jobs/{name}").json()
        if told["status"] in ENDED:
            return told
        time.sleep(0.2)
    raise AssertionError(told)


def test_what_was_added_is_found_and_what_was_deleted_is_not(writable, folder, tmp_path):
    new = (write_pairs(tmp_path / "new", n=1, seed=5) / "rgb" / "0000.png").read_bytes()
    data = {"frame": "new", "band": "rgb", "metadata": json.dumps({"camera": "hand"})}
    answer = writable.post(f"{CITY}/items", files={"image": ("../../x.png", new)}, data=data)
    assert answer.status_code == 200, answer.text
    assert answer.json()["added"] == 1
    assert Gallery.open_rows(folder).count("frame = 'new' AND camera = 'hand'") == 1  # on the disk, for others
    assert [path.parent for path in (folder / "uploads").iterdir()] == [folder / "uploads"]
    found = writable.post(f"{CITY}/search", files={"image": new}, data={"band": "rgb", "k": 1}).json()[
        "matches"
    ]
    assert found[0]["frame"] == "new"
    assert found[0]["distance"] < 1e-3
    assert writable.get(f"{CITY}/items/{found[0]['id']}/thumbnail").status_code == 200
    assert writable.delete(f"{CITY}/items/{found[0]['id']}").json() == {"deleted": 1}
    assert writable.get(f"{CITY}/items/{found[0]['id']}").status_code == 404
    assert writable.post(f"{CITY}/delete", json={"where": "camera = 'north'"}).json() == {"deleted": 8}
    assert writable.post(f"{CITY}/delete", json={"where": "1 = 1"}).status_code == 422
    bad = {"frame": "x", "band": "rgb", "metadata": '{"vector": 1}'}
    assert writable.post(f"{CITY}/items", files={"image": new}, data=bad).json()["parameter"] == "metadata"


@pytest.mark.slow
def test_a_folder_is_indexed_and_followed_to_its_end(writable, folder):
    answer = writable.post(
        "/api/v1/jobs", json={"kind": "index", "folder": "more", "gallery": "city", "local": False}
    )
    assert answer.status_code == 201, answer.text
    name = answer.json()["id"]
    with writable.stream("GET", f"/api/v1/jobs/{name}/events") as stream:
        told = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
    assert told[-1]["status"] == "done", told[-1]
    assert told[-1]["result"]["added"] == 6
    assert Gallery.info(folder)["items"] == 22
    assert writable.get("/api/v1/jobs").json()[0]["id"] == name
    assert (
        writable.post("/api/v1/jobs", json={"kind": "index", "folder": "/etc", "gallery": "city"}).status_code
        == 422
    )


SLEEPER = "import sys, time; time.sleep(60)"


@pytest.mark.slow
def test_jobs_are_queued_canceled_and_followed_again(tmp_path, monkeypatch):
    begun = []
    real = subprocess.Popen

    def sleep(command, **options):
        begun.append(command[-1])
        return real([sys.executable, "-c", SLEEPER], **options)

    monkeypatch.setattr("crossband.server.jobs.subprocess.Popen", sleep)
    jobs = Jobs(tmp_path)
    first, second = (jobs.start("index", {"shown": name}) for name in "ab")
    wait(lambda: begun == [first])
    jobs.close()  # a server that is restarted finds the process, and starts no other
    again = Jobs(tmp_path)
    time.sleep(0.8)
    assert begun == [first]
    again.cancel(first)
    wait(lambda: begun == [first, second] and second in again._children)
    assert again.told(first)["status"] == "canceled"
    spec = json.loads((tmp_path / f"{second}.json").read_text())
    again._children[second].send_signal(signal.SIGKILL)  # one that died without a word is started anew
    wait(lambda: begun == [first, second, second])
    died = spec.get("pid")  # not written yet, perhaps
    wait(lambda: json.loads((tmp_path / f"{second}.json").read_text())["pid"] != died)
    again.cancel(second)
    again.close()
    with pytest.raises(KeyError):
        again.told("../secret")


def wait(done, seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.05)
