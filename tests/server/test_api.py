"""The API says what the library says."""

from __future__ import annotations

import io
import json

import numpy as np
import PIL.Image
import pytest

from crossband.frames import Frames
from crossband.io import read_image
from crossband.retrieval import Gallery, benchmark, search

from ..conftest import write_pairs
from .conftest import N

CITY = "/api/v1/galleries/city"


def items(client, where: str = "", **more) -> list[dict]:
    return client.get(f"{CITY}/items", params={"where": where, "limit": 500, **more}).json()["items"]


def flat(match: dict) -> dict:
    """A match of the API as the library's, without the path that the API does not tell."""
    own = {key: value for key, value in match.items() if key not in ("id", "bands", "metadata")}
    return {**own, **match["metadata"]}


def same(ours: list[dict], theirs) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        told = {key: value for key, value in other.to_dict().items() if key != "path"}
        assert flat(mine).pop("distance") == pytest.approx(told.pop("distance"), abs=1e-5)
        assert {k: v for k, v in flat(mine).items() if k != "distance"} == told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "where"),
    [(3, None), (5, "band = 'tir'"), (16, "camera = 'o''er' AND lat > 46.5"), (2, "place IN ('place1')")],
)
def test_a_search_by_upload_equals_the_librarys(client, gallery, frames, photo, k, where):
    data = {"band": "rgb", "k": k, **({"where": where} if where else {})}
    answer = client.post(f"{CITY}/search", files={"image": ("x", photo)}, data=data)
    assert answer.status_code == 200, answer.text
    same(answer.json()["matches"], search(frames.root / "rgb" / "0003.png", gallery, k, where=where))


def test_searches_by_frame_by_item_and_by_kept_upload_are_one(client, photo):
    item = items(client, "frame = '0003' AND band = 'rgb'")[0]["id"]
    kept = client.post("/api/v1/uploads", files={"image": photo}).json()
    assert (kept["band"], kept["height"], kept["width"]) == ("rgb", 48, 64)
    asked = [{"item": item}, {"frame": "0003", "band": "rgb"}, {"upload": kept["id"], "band": "rgb"}]
    found = [client.post(f"{CITY}/search", data=one).json()["matches"] for one in asked]
    assert found[0] == found[1] == found[2]
    assert found[0][0]["id"] == item


def test_many_queries_at_once_are_described_as_one_alone(gallery, frames):
    opened = Gallery.open(gallery)
    pixels = [read_image(frames.root / "rgb" / f"{i:04d}.png", "rgb") for i in range(4)]
    import torch

    from crossband.bands import Band

    together = torch.stack([opened.descriptor.preprocess(image, Band.RGB) for image in pixels])
    for vector, image in zip(opened.described(together, Band.RGB), pixels, strict=True):
        np.testing.assert_allclose(vector, opened.describe(image, "rgb"), atol=1e-5)


def test_a_crop_is_searched_as_the_cut_out_picture(client, frames, photo):
    whole = PIL.Image.open(io.BytesIO(photo))
    buffer = io.BytesIO()
    whole.crop((16, 12, 48, 36)).save(buffer, "PNG")
    crop = client.post(
        f"{CITY}/search", files={"image": photo}, data={"crop": "0.25,0.25,0.75,0.75", "band": "rgb"}
    )
    cut = client.post(f"{CITY}/search", files={"image": buffer.getvalue()}, data={"band": "rgb"})
    assert crop.json()["matches"] == cut.json()["matches"]


def test_what_a_gallery_holds_is_what_the_library_says(client, gallery):
    told = client.get(CITY).json()
    info = Gallery.info(gallery)
    assert {name: told[name] for name in ("items", "bands", "model", "dtype")} == {
        name: info[name] for name in ("items", "bands", "model", "dtype")
    }


def test_facets_count_the_items_that_a_condition_leaves(client):
    facets = {
        one["column"]: one for one in client.get(f"{CITY}/facets", params={"where": "band = 'tir'"}).json()
    }
    assert facets["camera"]["values"] == [{"value": "north", "items": 4}, {"value": "o'er", "items": 4}]
    assert facets["lat"]["low"] == 46.5
    assert facets["place"]["distinct"] == 4


def test_items_are_sorted_paged_and_know_their_other_bands(client):
    both = [items(client, "band = 'tir'", sort="time", offset=o, limit=5) for o in (0, 5)]
    assert [one["frame"] for part in both for one in part] == [f"{i:04d}" for i in range(8)]
    one = both[0][0]
    other = client.get(f"{CITY}/items/{one['bands']['rgb']}").json()
    assert (other["frame"], other["band"]) == (one["frame"], "rgb")


def test_a_pixels_temperature_is_the_files(client, frames):
    item = items(client, "frame = '0002' AND band = 'tir'")[0]["id"]
    counts = read_image(frames.root / "tir" / "0002.png", "tir").pixels
    told = client.get(f"{CITY}/items/{item}/temperature", params={"x": 7, "y": 5}).json()
    assert told["value"] == counts[5, 7]
    assert told["celsius"] == pytest.approx(counts[5, 7] / 100 - 273.15, abs=1e-3)
    assert client.get(f"{CITY}/items/{item}/temperature", params={"x": 64, "y": 0}).status_code == 422


def test_a_thermal_picture_has_the_asked_range_and_palette(client):
    item = items(client, "frame = '0002' AND band = 'tir'")[0]["id"]
    answer = client.get(f"{CITY}/items/{item}/image", params={"palette": "white-hot", "low": 10, "high": 30})
    about = json.loads(answer.headers["crossband-picture"])
    assert (about["low"], about["high"], about["unit"]) == (10, 30, "celsius")
    shown = np.asarray(PIL.Image.open(io.BytesIO(answer.content)))
    told = client.get(f"{CITY}/items/{item}/temperature", params={"x": 9, "y": 9}).json()["celsius"]
    assert abs(int(shown[9, 9, 0]) - np.clip((told - 10) / 20, 0, 1) * 255) <= 1
    again = client.get(answer.request.url, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_thumbnails_are_small(client):
    item = items(client)[0]["id"]
    answer = client.get(f"{CITY}/items/{item}/thumbnail", params={"size": 32})
    assert max(PIL.Image.open(io.BytesIO(answer.content)).size) == 32


def test_a_survey_finds_what_the_vectors_say(client, gallery):
    told = client.get(f"{CITY}/survey", params={"query": "rgb", "among": "tir"}).json()
    rows = {
        b: Gallery.open_rows(gallery).read(["frame", "vector"], f"band = '{b}'").to_pydict()
        for b in ("rgb", "tir")
    }
    ours, theirs = (np.array(rows[b]["vector"]) for b in ("rgb", "tir"))
    order = np.argsort(((ours[:, None] - theirs[None]) ** 2).sum(-1), axis=1, kind="stable")
    ranks = [
        1 + [rows["tir"]["frame"][j] for j in row].index(f)
        for row, f in zip(order, rows["rgb"]["frame"], strict=True)
    ]
    assert told["recall"]["1"] == pytest.approx(100 * np.mean(np.array(ranks) == 1))
    assert [row["rank"] for row in told["worst"]] == sorted((r for r in ranks if r > 1), reverse=True)


def test_the_last_benchmarks_worst_queries_are_items_of_the_gallery(client, frames, tmp_path, monkeypatch):
    assert client.get(f"{CITY}/benchmark").json() == {"time": None, "runs": []}
    written = benchmark(frames, "hog", misaligned=False).write(tmp_path / "measured") / "results.json"
    content = json.loads(written.read_text())  # in which all of so few are found
    content["runs"][1]["worst"] = [{"query": "0003", "rank": 3}, {"query": "elsewhere", "rank": 2}]
    written.write_text(json.dumps(content))
    monkeypatch.setitem(client.app.state.service.settings.reports, "more", tmp_path)
    first, second = client.get(f"{CITY}/benchmark").json()["runs"]
    assert (first["query_band"], first["gallery_band"], first["queries"], first["worst"]) == (
        "rgb",
        "tir",
        N,
        [],
    )
    row, other = second["worst"]
    assert [(row[side]["frame"], row[side]["band"]) for side in ("query", "right")] == [
        ("0003", "tir"),
        ("0003", "rgb"),
    ]
    assert row["rank"] == 3
    assert (other["frame"], other["query"]) == ("elsewhere", None)


def test_duplicates_name_each_pair_once(client):
    pairs = client.get(f"{CITY}/duplicates", params={"band": "tir"}).json()
    names = [frozenset((p["first"]["frame"], p["second"]["frame"])) for p in pairs]
    assert len(set(names)) == len(names)
    assert all(len(name) == 2 for name in names)
    assert [p["distance"] for p in pairs] == sorted(p["distance"] for p in pairs)


def test_marks_become_a_manifest_that_the_library_reads(client, tmp_path):
    tir = [one["id"] for one in items(client, "band = 'tir'", sort="frame")]
    marks = [(0, 1, True), (1, 2, True), (0, 5, False)]
    body = {"marks": [{"query": tir[a], "item": tir[b], "right": right} for a, b, right in marks]}
    answer = client.post(f"{CITY}/marks", json=body)
    (tmp_path / "marks.csv").write_bytes(answer.content)
    read = Frames.read(tmp_path / "marks.csv")
    places = dict(zip(read.names, read.table["place"], strict=True))
    assert places["0000"] == places["0001"] == places["0002"] != places["0005"]
    assert read.table.set_index("frame")["not_same"]["0000"] == "0005;"
    assert all(path.is_file() for band in ("rgb", "tir") for path in read.paths(band))


def test_positions_and_least_probability(client, photo):
    places = client.get(f"{CITY}/positions").json()
    assert len(places) == 8
    assert places[0]["lat"] == 46.5
    answer = client.post(
        f"{CITY}/search", files={"image": photo}, data={"least": 0.5, "k": 4, "band": "rgb"}
    ).json()
    assert len(answer["matches"]) + answer["hidden"] == 4  # hog is not re-ranked: nothing is probable


@pytest.mark.slow
def test_align_segment_and_detect_equal_the_librarys(client, frames, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="no OpenCV: the extra vision is not installed")
    assert cv2
    from crossband.matching.align import Aligner, corner_error
    from crossband.models.packaged import packaged_path
    from crossband.segmentation.predict import load_segmenter
    from crossband.uav.networks import read_detector
    from crossband.uav.pictures import detect_pixels

    rgb, tir = (frames.root / band / "0003.png" for band in ("rgb", "tir"))
    images = {"rgb": read_image(rgb, "rgb"), "tir": read_image(tir, "tir", "centikelvin")}
    pair = {name: (name, path.read_bytes()) for name, path in (("rgb", rgb), ("tir", tir))}

    segments = client.post("/api/v1/segment", files=pair, data={"units": "centikelvin"}).json()
    expected = load_segmenter(packaged_path("segmentation")).labels(images)
    import base64

    labels = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(segments["labels_png"]))))
    np.testing.assert_array_equal(labels, expected)
    assert sum(one["share"] for one in segments["classes"]) == pytest.approx(100)

    boxes = client.post(
        "/api/v1/detect", files={"image": tir.read_bytes()}, data={"units": "centikelvin", "least": 0.01}
    )
    detector = read_detector(packaged_path("detection"))
    found = detect_pixels(detector, images["tir"].pixels, "centikelvin", 0.01)
    told = [[b[c] for c in ("left", "top", "right", "bottom", "score")] for b in boxes.json()["boxes"]]
    np.testing.assert_allclose(np.array(told).reshape(-1, 5), found[:, :5], atol=1e-4)

    big = write_pairs(tmp_path / "big", n=1, size=(320, 256)) / "rgb" / "0000.png"
    parts = {"first": big.read_bytes(), "second": big.read_bytes()}
    asked = {"first_band": "rgb", "second_band": "rgb", "picture": "true"}
    answer = client.post("/api/v1/align", files=parts, data=asked)
    assert answer.status_code == 200, answer.text
    aligner = Aligner()
    direct = aligner.align(aligner.read(big, "rgb"), aligner.read(big, "rgb"))
    # OpenCV draws its samples anew each time: the same to a fraction of a pixel
    assert corner_error(np.array(answer.json()["matrix"]), direct.matrix, (256, 320)) < 0.5
    warped = PIL.Image.open(io.BytesIO(base64.b64decode(answer.json()["warped_png"])))
    assert warped.size == (320, 256)
    blank = {"first": rgb.read_bytes(), "second": tir.read_bytes()}  # too small to hold one scene for sure
    assert client.post("/api/v1/align", files=blank).status_code in (200, 422)


def test_the_description_names_every_address_and_needs_no_other_host(client):
    told = client.get("/openapi.json").json()
    assert {
        "/api/v1/health",
        "/api/v1/galleries/{gallery}/search",
        "/api/v1/align",
        "/api/v1/jobs/{job}/events",
    } <= set(told["paths"])
    assert "http" not in client.get("/docs").text.replace("http-equiv", "")


def test_metrics_count_requests(client):
    client.get("/api/v1/health")
    text = client.get("/api/v1/metrics").text
    assert 'crossband_requests_total{method="GET",route="/health",status="200"}' in text.replace("/api/v1", "")
    assert "# TYPE crossband_request_seconds histogram" in text


def test_reports_are_shown_without_a_right_to_run(client):
    listed = client.get("/api/v1/reports").json()
    assert [one["file"] for one in listed] == ["report.html"]
    answer = client.get(f"/api/v1/reports/{listed[0]['id']}")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
