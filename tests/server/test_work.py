"""Adding, deleting, and long work: done, canceled, and taken up again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO
from xml.etree import ElementTree

import PIL.Image
import pytest
from fastapi.testclient import TestClient

from crossband.retrieval import Gallery
from crossband.server import Settings
from crossband.server.app import create_app
from crossband.server.jobs import Jobs

from ..conftest import write_pairs
from ..uav.conftest import networks, world  # noqa: F401  (fixtures)

CITY = "/api/v1/galleries/city"


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


@pytest.mark.slow
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
    pid = lambda: json.loads((tmp_path / f"{second}.json").read_text()).get("pid")  # noqa: E731
    wait(pid)
    died = pid()
    again._children[second].send_signal(signal.SIGKILL)  # one that died without a word is started anew
    wait(lambda: begun == [first, second, second] and pid() != died)
    again.cancel(second)
    again.close()
    with pytest.raises(KeyError):
        again.told("../secret")


def wait(done, seconds: float = 120.0) -> None:
    limit = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.fixture
def photo_of_a_car(world) -> bytes:  # noqa: F811
    with PIL.Image.open(world / "world" / "rgb" / "0_0.png") as image:
        buffer = BytesIO()
        image.crop((10, 8, 42, 34)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def flying(gallery, world, networks, tmp_path):  # noqa: F811
    """Settings of a server that may run the chain over a small flight."""
    city = world / "world"
    return Settings(
        galleries={"city": gallery},
        flights={"night": city},
        map=city / "map",
        models=networks,
        writable=True,
        log=False,
        decoders=1,
        state=tmp_path / "state",
        searches=0,
        requests=0,
    )


@pytest.mark.slow
def test_a_flight_goes_on_after_its_process_and_its_server_died_and_ends_on_the_map(flying, photo_of_a_car):
    with TestClient(create_app(flying), base_url="http://localhost") as client:
        sent = client.post("/api/v1/uploads", files={"image": photo_of_a_car}).json()["id"]
        job = client.post(
            "/api/v1/jobs", json={"kind": "flight", "flight": "night", "upload": sent, "k": 5}
        ).json()
        address = f"/api/v1/jobs/{job['id']}"
        wait(lambda: client.get(address).json()["stages"], 300)
        client.app.state.service.jobs.close()  # a server that dies starts nothing anew
        spec = json.loads((flying.state / "jobs" / f"{job['id']}.json").read_text())
        os.kill(spec["pid"], signal.SIGKILL)
        assert client.get(address).json()["status"] == "running"
    with TestClient(create_app(flying), base_url="http://localhost") as client:
        with client.stream("GET", f"{address}/events") as stream:
            told = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
        assert told[-1]["status"] == "done", told[-1]
        assert json.loads((flying.state / "jobs" / f"{job['id']}.json").read_text())["starts"] == 2
        assert {"detections", "matching"} <= {stage["name"] for stage in told[-1]["stages"]}
        assert all(stage["done"] == stage["total"] for stage in told[-1]["stages"])
        name = told[-1]["result"]["flight"]
        about = next(one for one in client.get("/api/v1/flights").json() if one["name"] == name)
        assert about["exports"] == ["geojson", "kml"]
        found = client.get(f"/api/v1/flights/{name}").json()
        assert [one["rank"] for one in found["matches"]] == [1, 2, 3, 4, 5]
        places = [(one["lon"], one["lat"]) for one in found["matches"] if one["lat"] is not None]
        features = client.get(f"/api/v1/flights/{name}/geojson").json()["features"]
        assert [tuple(one["geometry"]["coordinates"][:2]) for one in features] == places
        marks = ElementTree.fromstring(client.get(f"/api/v1/flights/{name}/kml").content).findall(
            ".//{*}Placemark"
        )
        assert len(marks) == len(places) > 0
        ground = client.get("/api/v1/map").json()
        assert ground["south"] < places[0][1] < ground["north"]


def test_a_flight_without_what_it_needs_is_not_begun(writable):
    answer = writable.post("/api/v1/jobs", json={"kind": "flight", "flight": "night"})
    assert answer.status_code == 422
    assert "--models" in answer.json()["detail"]
    assert writable.get("/api/v1/jobs/choices").json()["flights"] == []
