"""What people send: radiometric files, deep TIFFs, videos; and maps of their own."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.server.flights import read_ground
from crossband.server.pictures import guess

from ..flir_file import radiometric_jpeg

CITY = "/api/v1/galleries/city"
WARM = np.linspace(285, 300, 60 * 80).reshape(60, 80)  # kelvin


def tiff(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels)
    return buffer.getvalue()


SENT = {
    "a radiometric JPEG": (radiometric_jpeg(), "tir", "kelvin", "kelvin"),
    "centikelvin": (tiff((WARM * 100).astype(np.uint16)), "tir", "counts", "centikelvin"),
    "counts": (tiff((WARM * 20).astype(np.uint16)), "tir", "counts", "counts"),
    "kelvin": (tiff(WARM.astype(np.float32)), "tir", "counts", "kelvin"),
    "celsius": (tiff((WARM - 273.15).astype(np.float32)), "tir", "counts", "celsius"),
    "shares": (tiff((WARM / 300).astype(np.float32)), "tir", "counts", "counts"),
    "colors of 16 bits": (
        tiff(np.random.default_rng(0).integers(0, 65536, (60, 80, 3), np.uint16)),
        "rgb",
        "counts",
        "counts",
    ),
}


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_guessed_shown_measured_and_searched(client, tmp_path, name):
    data, band, units, likely = SENT[name]
    told = client.post("/api/v1/uploads", files={"image": data}).json()
    assert (told["band"], told["units"], told["likely_units"]) == (band, units, likely)
    follow(client, told, data, tmp_path)


def follow(client, told: dict, data: bytes, folder: Path) -> None:
    """What was sent is drawn, its pixels are the library's, and it is searched for."""
    address, band = f"/api/v1/uploads/{told['id']}", told["band"]
    asked = {"band": band, "units": told["likely_units"]} if band == "tir" else {"band": band}
    picture = PIL.Image.open(io.BytesIO(client.get(f"{address}/image", params=asked).content))
    assert picture.size == (told["width"], told["height"])
    file = folder / ("sent.jpg" if data.startswith(b"\xff\xd8") else "sent.tif")
    file.write_bytes(data)
    image = read_image(file, band, told["likely_units"] if band == "tir" else None)
    pixel = client.get(f"{address}/temperature", params={**asked, "x": 5, "y": 3}).json()
    assert pixel["value"] == pytest.approx(image.pixels[3, 5].tolist())
    assert (pixel["celsius"] is not None) == (told["likely_units"] != "counts")
    form = {"upload": told["id"], "k": 1, **asked}
    answer = client.post(f"{CITY}/search", data=form)
    assert answer.status_code == 200, answer.text
    assert answer.json()["query"]["units"] == image.units


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["thermal_parser_*", "irimage_*"])
def test_files_of_real_cameras(client, shared, tmp_path, kind):
    files = sorted((shared / "data" / "radiometric").glob(kind))
    assert files
    for file in files:
        data = file.read_bytes()
        told = client.post("/api/v1/uploads", files={"image": data}).json()
        assert (told["band"], told["sure"]) == ("tir", True)
        follow(client, told, data, tmp_path)


def test_a_frame_of_a_video_finds_its_own_pair(client, frames, tmp_path):
    av = pytest.importorskip("av", reason="no av: the extra uav is not installed")
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for number in range(4):
            shown = np.asarray(PIL.Image.open(frames.root / "rgb" / f"{number:04d}.png"))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode())
    told = client.post("/api/v1/uploads", files={"image": (tmp_path / "v.mkv").read_bytes()}).json()
    assert (told["video"], told["band"]) == (True, "rgb")
    form = {"upload": told["id"], "band": "rgb", "where": "band = 'rgb'", "k": 1}
    for number in (0, 3):
        found = client.post(f"{CITY}/search", data={**form, "video_frame": number}).json()["matches"][0]
        assert (found["frame"], found["distance"] < 1e-3) == (f"{number:04d}", True)
    beyond = client.post(f"{CITY}/search", data={**form, "video_frame": 4})
    assert (beyond.status_code, "no frame 4" in beyond.json()["detail"]) == (422, True)
    pixel = {"band": "rgb", "frame": 2, "x": 5, "y": 3}
    there = read_image(frames.root / "rgb" / "0002.png", "rgb").pixels[3, 5].tolist()
    assert client.get(f"/api/v1/uploads/{told['id']}/temperature", params=pixel).json()["value"] == there


@pytest.fixture
def geotiff(tmp_path):
    """``geotiff(channels, kind)`` is a raster in UTM with one bright block, and where that lies."""
    rasterio = pytest.importorskip("rasterio", reason="no rasterio: the extra uav is not installed")
    from rasterio.warp import transform

    def make(channels: int, kind: str, crs: str | None = "EPSG:32632") -> tuple[Path, float, float]:
        path, (east, north) = tmp_path / f"{channels}{kind}.tif", (277_000.0, 5_153_000.0)
        pixels = np.full((channels, 300, 400), 20, kind)
        pixels[0, 100:180, 200:280] = 250
        shape = {"width": 400, "height": 300, "count": channels, "dtype": kind}
        place = {"crs": crs, "transform": rasterio.transform.from_origin(east, north, 0.5, 0.5)} if crs else {}
        with rasterio.open(path, "w", driver="GTiff", **shape, **place) as file:
            file.write(pixels)
        ((lon,), (lat,)) = transform("EPSG:32632", "EPSG:4326", [east + 120], [north - 70])
        return path, lon, lat

    return make


@pytest.mark.parametrize(("channels", "kind"), [(3, "uint8"), (3, "uint16"), (1, "uint8"), (1, "float32")])
def test_a_geotiff_lies_where_it_says(geotiff, channels, kind):
    path, lon, lat = geotiff(channels, kind)
    ground = read_ground(path)
    assert ground.kind == "picture"
    shown = np.asarray(PIL.Image.open(io.BytesIO(ground.png)).convert("RGB"))
    height, width = shown.shape[:2]
    column = int((lon - ground.west) / (ground.east - ground.west) * width)
    row = int((ground.north - lat) / (ground.north - ground.south) * height)
    assert shown[row, column, 0] > 200
    assert shown[row - 60, column, 0] < 60
    assert ground.width == pytest.approx(200, rel=0.05)  # and a little for the turn of the grid


def test_a_map_without_a_place_is_one_sentence_without_its_path(geotiff):
    path, _, _ = geotiff(3, "uint8", crs=None)
    with pytest.raises(CrossbandError, match="no georeference") as caught:
        read_ground(path)
    assert str(path.parent) not in str(caught.value)


def test_gray_that_a_video_tints_evenly_is_no_color_picture():
    """As the frames of real infrared videos are, whose conversion to RGB leaves a constant of 1 to 3."""
    gray = np.random.default_rng(0).integers(0, 250, (60, 80, 1))
    for tint, band in (((0, 0, 0), "tir"), ((1, 4, 0), "tir"), ((0, 30, 9), "rgb")):
        file = io.BytesIO()
        PIL.Image.fromarray((gray + tint).clip(0, 255).astype(np.uint8)).save(file, "PNG")
        assert guess(file.getvalue(), 10_000)["band"] == band, tint
