"""Kinds beside the usual: text and deep netpbm, arrays, tables, DJI's counts; and bounds on what they take."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband.bands import Units
from crossband.errors import ImageFault
from crossband.io import is_image_file, read_image

COUNTS = (4000 + 16 * np.arange(24 * 32)).reshape(24, 32).astype(np.uint16)


def test_a_color_netpbm_keeps_its_sixteen_bits(tmp_path):
    pixels = (np.arange(18) + 30000).reshape(2, 3, 3).astype(np.uint16)
    (tmp_path / "a.ppm").write_bytes(b"P6\n# by hand\n3 2\n65535\n" + pixels.astype(">u2").tobytes())
    assert np.array_equal(read_image(tmp_path / "a.ppm").pixels, pixels)


@pytest.mark.parametrize("maxval", [4095, 100, 255, 65535, 1])
@pytest.mark.parametrize("kind", ["P2", "P5"])
def test_thermal_counts_of_any_maxval_stay_and_color_is_scaled(tmp_path, kind, maxval):
    values = np.array([[0, maxval // 2, maxval]])
    deep = ">u2" if maxval > 255 else "u1"
    body = b"0 %d\n%d\n" % (maxval // 2, maxval) if kind == "P2" else values.astype(deep).tobytes()
    (tmp_path / "a.pgm").write_bytes(b"%s 3 1 %d\n" % (kind.encode(), maxval) + body)
    thermal, gray = read_image(tmp_path / "a.pgm", "tir"), read_image(tmp_path / "a.pgm", "nir")
    assert thermal.pixels.tolist() == values.tolist()
    full = np.iinfo(gray.pixels.dtype).max
    assert gray.pixels.tolist() == np.rint(values * full / maxval).astype(int).tolist()
    assert ("maxval" in [r.kind for r in thermal.remarks]) == (maxval not in (255, 65535))


@pytest.mark.parametrize(
    "content", [b"P5 3 1 4095\n12", b"P2 3 1 255\n1 2", b"P2 3 1 9\n1 x 2", b"P5 3 1 70000\n"]
)
def test_a_broken_netpbm_is_a_named_fault(tmp_path, content):
    (tmp_path / "a.pgm").write_bytes(content)
    with pytest.raises(ImageFault):
        read_image(tmp_path / "a.pgm", "tir")


@pytest.mark.parametrize("dtype", ["f4", "f8", "u2", "u1", "i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_an_image(tmp_path, dtype, order):
    values = np.asarray(COUNTS % 200, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    assert is_image_file(tmp_path / "a.npy")
    assert np.array_equal(read_image(tmp_path / "a.npy", "tir", "celsius").pixels, values)


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[print]] * 2, object), allow_pickle=True)
    with pytest.raises(ImageFault, match="no plain numbers"):
        read_image(tmp_path / "a.npy", "tir")


def test_a_matrix_is_no_image(tmp_path):
    np.save(tmp_path / "a_nir.npy", np.eye(3)[:2])
    assert not is_image_file(tmp_path / "a_nir.npy")


@pytest.mark.parametrize(("between", "point"), [(",", "."), (";", ","), ("\t", "."), (";", ".")])
def test_a_table_of_temperatures_is_an_image(tmp_path, between, point):
    values = np.round(20 + COUNTS[:, :20] / 1000, 2).astype(np.float32)
    lines = ["Frame 1, emissivity 0.95", ""]
    lines += [between.join(f"{v:.2f}".replace(".", point) for v in row) for row in values]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    assert is_image_file(tmp_path / "a.csv")
    assert np.allclose(read_image(tmp_path / "a.csv", "tir", "celsius").pixels, values)


def test_a_log_is_no_image(tmp_path):
    (tmp_path / "flight.csv").write_text("time,lat,lon\n" + "1,46.5,6.6\n" * 40)
    assert not is_image_file(tmp_path / "flight.csv")


def dji(counts: np.ndarray, size: tuple[int, int], parameters: bool = True) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", size, (200, 60, 0)).save(file, "JPEG")
    raw, segments = counts.astype("<u2").tobytes(), b""
    for start in range(0, len(raw), 1000):
        part = raw[start : start + 1000]
        segments += b"\xff\xe3" + struct.pack(">H", len(part) + 2) + part
    if parameters:
        segments += b"\xff\xe4" + struct.pack(">H", 34) + bytes(32)
    return file.getvalue()[:2] + segments + file.getvalue()[2:]


@pytest.mark.parametrize("size", [(32, 24), (64, 48)])
def test_the_counts_of_a_dji_file_are_read_and_its_temperatures_said_to_be_none(tmp_path, size):
    (tmp_path / "a.JPG").write_bytes(dji(COUNTS, size))
    image = read_image(tmp_path / "a.JPG", "tir", "celsius")
    assert np.array_equal(image.pixels, COUNTS)
    assert image.units is Units.COUNTS
    assert [remark.kind for remark in image.remarks] == ["R-JPEG"]
    assert read_image(tmp_path / "a.JPG", "rgb").size == (size[1], size[0])


def test_other_segments_are_no_counts(tmp_path):
    (tmp_path / "a.jpg").write_bytes(dji(COUNTS, (32, 24), parameters=False))
    assert read_image(tmp_path / "a.jpg", "tir").pixels.ndim == 3


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["DJI_H20T.jpg", "M2EA_DJI_0001_R.JPG", "M30T_DJI_0005_R.JPG", "M3T_DJI_0002_R.JPG"]
)
def test_real_dji_counts_show_what_their_picture_shows(shared, name):
    path = shared / "data" / "radiometric" / f"thermal_parser_{name}"
    counts, picture = read_image(path, "tir"), read_image(path, "rgb")
    assert counts.pixels.dtype == np.uint16
    assert counts.size == (512, 640)
    # a palette's color says the count: within one color counts hardly differ
    colors = (picture.pixels[..., :3] // 16).astype(int) @ (256, 16, 1)
    values, count = counts.pixels.astype(float).ravel(), np.bincount(colors.ravel())
    mean = np.bincount(colors.ravel(), values) / np.maximum(count, 1)
    within = np.square(values - mean[colors.ravel()]).mean()
    assert within < 0.3 * values.var()


@pytest.mark.parametrize("suffix", ["RJPG", "thermal", "IMG"])
def test_a_picture_is_told_by_its_first_bytes(tmp_path, suffix):
    PIL.Image.fromarray(COUNTS).save(tmp_path / f"a.{suffix}", format="TIFF")
    assert is_image_file(tmp_path / f"a.{suffix}")


def tiff(tile: tuple[int, int], data: bytes, dtype_bits: int = 8, sample_format: int = 1) -> bytes:
    """A TIFF of 16x16 pixels in one deflated tile of another size."""

    def short(v: int) -> tuple[int, int, bytes]:
        return 3, 1, struct.pack("<HH", v, 0)

    def long(v: int) -> tuple[int, int, bytes]:
        return 4, 1, struct.pack("<I", v)

    tags = {
        256: short(16),
        257: short(16),
        258: short(dtype_bits),
        259: short(8),
        262: short(1),
        277: short(1),
        322: long(tile[0]),
        323: long(tile[1]),
        324: long(8),
        325: long(len(data)),
        339: short(sample_format),
    }
    start = 8 + len(data) + len(data) % 2
    entries = b"".join(struct.pack("<HHI", c, t, n) + v for c, (t, n, v) in sorted(tags.items()))
    return (
        b"II*\0"
        + struct.pack("<I", start)
        + data
        + b"\0" * (len(data) % 2)
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def test_a_tile_larger_than_any_image_is_refused_from_the_header(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff((65536, 65536), zlib.compress(bytes(100))))
    with pytest.raises(ImageFault, match="bomb"):
        read_image(tmp_path / "a.tif")


@pytest.mark.slow
def test_a_tile_that_inflates_beyond_its_size_takes_no_more_than_that(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff((16, 16), zlib.compress(bytes(1 << 28))))
    tracemalloc.start()
    with contextlib.suppress(ImageFault):
        read_image(tmp_path / "a.tif")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 26


def test_complex_pixels_are_refused_and_not_halved(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS.astype(np.complex64))
    with pytest.raises(ImageFault, match="complex"):
        read_image(tmp_path / "a.tif", "tir")
