"""What a stranger may not do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient

from crossband.bands import Band
from crossband.errors import CrossbandError, ImageFault
from crossband.server import Settings
from crossband.server.app import create_app
from crossband.server.decoding import Decoders, Source
from crossband.server.guards import COOKIE, Guard, RateLimit
from crossband.server.settings import tile_host
from crossband.server.telemetry import Telemetry

CITY = "/api/v1/galleries/city"


def png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of that many black pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + width)) for _ in range(min(height, 2000))) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def hostile(n: int, seed: int = 0) -> list[bytes]:
    """Files that are wrong in many ways: truncated, flipped, of lying headers, of other kinds, bombs."""
    rng = np.random.default_rng(seed)
    sound = [
        png(rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)),
        png(rng.integers(0, 65535, (40, 50)).astype(np.uint16)),
    ]
    for kind in ("JPEG", "TIFF", "WEBP", "BMP", "PPM"):
        buffer = BytesIO()
        PIL.Image.fromarray(rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)).save(buffer, kind)
        sound.append(buffer.getvalue())
    fixed = [
        b"x",
        b"<script>alert(1)</script>",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"GIF89a" + bytes(60),
        b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (9,), }".ljust(118),
        b"\x1aE\xdf\xa3" + bytes(200),
        b"\x00\x00\x00\x18ftypmp42" + bytes(200),
        b"P5 99999 99999 255\n",
        b"P6\n1000000000 1\n65535\n",
        b"%PDF-1.4",
        b"1,2,3\n" * 50,
        bomb(60_000, 60_000),
        bomb(20_000, 2000),
        b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", 3) + bytes(40),
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 10**9, 0, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
    ]
    made = list(fixed)
    while len(made) < n:
        data = bytearray(sound[rng.integers(len(sound))])
        match rng.integers(4):
            case 0:
                data = data[: rng.integers(1, len(data))]
            case 1:
                for place in rng.integers(0, len(data), 12):
                    data[place] = rng.integers(256)
            case 2:  # sizes in the header
                for place in rng.integers(8, min(60, len(data)), 6):
                    data[place] = 255
            case _:
                data = data[: len(data) // 2] + bytes(
                    rng.integers(0, 256, rng.integers(1, 4000), dtype=np.uint8)
                )
        made.append(bytes(data))
    return made[:n]


@pytest.mark.slow
def test_hostile_uploads_are_refused_or_read_and_never_a_mistake_of_ours(client):
    service = client.app.state.service
    for data in hostile(300):
        name = "<img src=x onerror=alert(1)>.png"
        answer = client.post("/api/v1/uploads", files={"image": (name, data, "text/html")})
        assert answer.status_code in (200, 422), (answer.status_code, data[:60])
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "onerror" not in answer.text
    status = Path(f"/proc/{service.decoders.pids[0]}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    assert peak < 1500  # MiB, of the process that decodes


@pytest.mark.parametrize(
    "where",
    [
        "1 = 1",
        "true",
        "repeat('a', 1000000000) = 'b'",
        "camera = 'a'; DROP TABLE vectors",
        "vector IS NOT NULL",
        "camera = (SELECT 1)",
        "camera = 'a' UNION SELECT 1",
        "regexp_like(camera, '(a+)+$')",
        "(" * 400 + "camera = 'a'" + ")" * 400,
        "camera = 'a' OR " * 3000 + "camera = 'a'",
        "camera = 'a",
    ],
)
def test_a_condition_is_comparisons_of_known_columns_and_nothing_else(client, photo, where):
    if len(where) < 5000:  # more no client puts into an address
        assert client.get(f"{CITY}/items", params={"where": where}).status_code == 422
    answer = client.post(f"{CITY}/search", files={"image": photo}, data={"where": where, "band": "rgb"})
    assert answer.status_code == 422
    assert answer.json()["parameter"] == "where"


def test_another_host_name_is_refused_so_that_no_page_rebinds_its_own(client):
    assert client.get("/api/v1/health", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/api/v1/health", headers={"host": "127.0.0.1:8000"}).status_code == 200
    assert client.get("/api/v1/health", headers={"host": "127.0.0.1.evil.example"}).status_code == 421


def test_a_page_of_another_site_may_change_nothing_and_read_nothing(client, photo):
    for header in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert client.post(f"{CITY}/search", files={"image": photo}, headers=header).status_code == 403
    answer = client.get("/api/v1/health", headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_every_answer_carries_the_policy(client):
    for path in ("/", "/docs", "/static/js/app.js", "/api/v1/galleries", "/nowhere", "/openapi.json"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy


def test_the_page_holds_no_script_or_style_of_its_own(client):
    for path in ("/", "/docs"):
        page = client.get(path).text
        assert "<style" not in page
        assert "style=" not in page
        assert "onclick" not in page
        assert page.count("<script") == page.count('src="/static/js/')


def test_a_read_only_server_changes_nothing(client, photo):
    item = client.get(f"{CITY}/items").json()["items"][0]["id"]
    assert client.delete(f"{CITY}/items/{item}").status_code == 403
    assert client.post(f"{CITY}/delete", json={"where": "camera = 'north'"}).status_code == 403
    form = {"frame": "new", "band": "rgb"}
    assert client.post(f"{CITY}/items", files={"image": photo}, data=form).status_code == 403
    assert client.post("/api/v1/jobs", json={"kind": "index"}).status_code == 403


def test_paths_of_the_machine_are_in_no_answer(client, photo, frames, gallery):
    texts = [
        client.get(path).text
        for path in (CITY, f"{CITY}/items", f"{CITY}/facets", "/api/v1/reports", "/nowhere")
    ]
    texts.append(client.post(f"{CITY}/search", files={"image": photo}).text)
    for text in texts:
        assert str(frames.root) not in text
        assert str(gallery.parent) not in text


@pytest.mark.parametrize(
    "path", ["../secret.txt", "..%2Fsecret.txt", "%2e%2e/%2e%2e/etc/passwd", "js/../../app.py", "....//app.py"]
)
def test_no_path_leaves_its_folder(client, path):
    for start in ("/static/", "/api/v1/reports/", "/api/v1/flights/"):
        assert client.get(start + path).status_code in (401, 404, 405)


class _Sized:
    """A server that needs a token and takes little."""

    def __init__(self, gallery) -> None:
        settings = Settings(
            galleries={"city": gallery},
            token="a long token of tests",
            upload_bytes=20_000,
            decoders=1,
            log=False,
        )
        self.app = create_app(settings)


@pytest.fixture(scope="module")
def guarded(gallery):
    with TestClient(_Sized(gallery).app, base_url="http://localhost") as made:
        yield made


@pytest.mark.slow
def test_a_token_is_asked_for_by_header_or_cookie_and_not_by_address(guarded):
    assert guarded.get(CITY).status_code == 401
    assert guarded.get("/openapi.json").status_code == 401
    assert guarded.get(CITY, params={"token": "a long token of tests"}).status_code == 401
    assert guarded.get(CITY, headers={"authorization": "Bearer a long token of testz"}).status_code == 401
    assert guarded.get(CITY, headers={"authorization": "Bearer a long token of tests"}).status_code == 200
    assert guarded.get("/api/v1/health").status_code == 200  # that of a load balancer
    assert guarded.get("/").status_code == 200  # the page, which asks for it
    assert guarded.post("/api/v1/session", json={"token": "wrong"}).status_code == 401
    answer = guarded.post("/api/v1/session", json={"token": "a long token of tests"})
    cookie = answer.headers["set-cookie"]
    assert COOKIE in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "a long token" not in cookie
    assert guarded.get(CITY).status_code == 200
    guarded.cookies.clear()


def test_a_body_is_bounded_before_it_is_read_whatever_it_says_of_its_length(guarded):
    known = {"authorization": "Bearer a long token of tests"}
    answer = guarded.post("/api/v1/uploads", files={"image": bytes(30_000)}, headers=known)
    assert answer.status_code == 413

    def endless():
        for _ in range(100):
            yield bytes(1000)

    kind = {"content-type": "multipart/form-data; boundary=x", **known}
    assert guarded.post("/api/v1/uploads", content=endless(), headers=kind).status_code in (400, 413)
    many = [("image", (f"{i}", b"x")) for i in range(9)]
    assert guarded.post("/api/v1/uploads", files=many, headers=known).status_code == 400


def test_too_many_requests_wait():
    limit = RateLimit(60)
    assert sum(limit.wait("a", now=0.0) == 0 for _ in range(100)) == 15
    assert limit.wait("a", now=1.0) == 0
    assert limit.wait("a", now=1.0) == pytest.approx(1.0)
    assert RateLimit(0).wait("a") == 0


def run_guard(settings: Settings, app, scope: dict | None = None) -> tuple[int, dict]:
    sent: list[dict] = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    base = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"host", b"localhost")],
        "client": ("1.2.3.4", 1),
    }
    asyncio.run(Guard(app, settings, Telemetry())({**base, **(scope or {})}, receive, send))
    return sent[0]["status"], json.loads(sent[-1]["body"])


def test_a_request_that_takes_too_long_is_answered_and_a_mistake_is_no_traceback(capsys):
    async def slow(*_):
        await asyncio.sleep(30)

    async def broken(*_):
        raise RuntimeError("<b>secret</b>")

    quick = Settings(galleries={}, seconds=0.05, log=False)
    assert run_guard(quick, slow)[0] == 503
    status, told = run_guard(quick, broken)
    assert status == 500
    assert "secret" not in told["detail"]
    assert "secret" in capsys.readouterr().err  # the log has it


def test_the_log_has_addresses_and_no_content(capsys):
    async def fine(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    run_guard(Settings(galleries={}), fine, {"query_string": b"where=secret"})
    line = json.loads(capsys.readouterr().err)
    assert (line["client"], line["path"], line["status"]) == ("1.2.3.4", "/", 200)
    assert "secret" not in json.dumps(line)


@pytest.fixture(scope="module")
def decoders():
    made = Decoders(1, 1 << 30, 300.0, 1_000_000)  # however busy the machine is
    yield made
    made.close()


@pytest.mark.slow
def test_a_decoder_that_is_killed_is_replaced_and_the_request_goes_on(decoders):
    source = Source("a", data=png(np.full((4, 5), 9, np.uint8)))
    assert decoders.pixels(source, Band.TIR).pixels.shape == (4, 5)
    before = decoders.pids[0]
    os.kill(before, signal.SIGKILL)
    assert decoders.pixels(source, Band.TIR).pixels[0, 0] == 9
    assert decoders.pids[0] != before


def test_a_decoder_that_hangs_is_ended(decoders, monkeypatch):
    decoders.guess(png(np.zeros((4, 5), np.uint8)))
    monkeypatch.setattr(decoders, "_seconds", 0.3)
    before = decoders.pids[0]
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(ImageFault, match="longer than"):
        decoders.guess(png(np.zeros((4, 5), np.uint8)))
    assert decoders.pids[0] != before


@pytest.mark.slow
def test_an_image_beyond_the_limits_is_refused_before_it_is_decoded(decoders):
    with pytest.raises(ImageFault, match="pixels"):
        decoders.guess(bomb(60_000, 60_000))
    assert decoders.guess(png(np.zeros((4, 5), np.uint8)))["width"] == 5


def test_fault_sentences_name_no_file_of_the_machine(decoders, tmp_path):
    with pytest.raises(CrossbandError) as caught:
        decoders.pixels(Source("gone", path=str(tmp_path / "gone.png")), Band.RGB)
    assert str(tmp_path) not in str(caught.value)


TILES = "https://tiles.example:8443/{z}/{x}/{y}.png"


def test_pictures_come_from_the_tile_server_that_was_named_and_from_no_other(gallery, client):
    policy = "content-security-policy"
    without = client.get("/").headers[policy]
    assert "http" not in without
    assert client.get("/api/v1/map").json()["tiles"] is None
    given = Settings(galleries={"city": gallery}, tiles=TILES, attribution="Survey", log=False, decoders=1)
    with TestClient(create_app(given), base_url="http://localhost") as other:
        widened = other.get("/").headers[policy]
        assert widened == without.replace("img-src ", "img-src https://tiles.example:8443 ")
        told = other.get("/api/v1/map").json()
        assert (told["kind"], told["tiles"], told["attribution"]) == ("none", TILES, "Survey")


@pytest.mark.parametrize(
    "tiles",
    [
        "tiles.example/{z}/{x}/{y}.png",
        "ftp://tiles.example/{z}/{x}/{y}.png",
        "https://tiles.example/{z}/{x}.png",
        "https://{s}.tiles.example/{z}/{x}/{y}.png",
        "https://user:word@tiles.example/{z}/{x}/{y}.png",
        "https://tiles.example;script-src */{z}/{x}/{y}.png",
        "https://*/{z}/{x}/{y}.png",
    ],
)
def test_what_is_no_address_of_tiles_is_refused(tiles):
    with pytest.raises(CrossbandError) as refused:
        tile_host(tiles)
    assert refused.value.parameter == "tiles"
