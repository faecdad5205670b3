"""What a file holds is what comes out, upright, and every fault has a name."""

from __future__ import annotations

import io
import itertools
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile

from crossband.bands import Units
from crossband.errors import ImageFault
from crossband.io import IMAGE_SUFFIXES, image_size, read_image
from crossband.io import pillow as module
from crossband.io.pillow import upright

RNG = np.random.default_rng(0)
GRAY8 = RNG.integers(0, 256, (5, 7), np.uint8)
GRAY16 = RNG.integers(0, 65536, (5, 7), np.uint16)
RGB8 = RNG.integers(0, 256, (5, 7, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (5, 7, 3), np.uint16)


def pillow_file(folder: Path, pixels: np.ndarray, name: str, **options: object) -> Path:
    path = folder / name
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def same(path: Path, pixels: np.ndarray, band: str = "rgb") -> bool:
    image = read_image(path, band)
    return image.pixels.dtype == pixels.dtype and np.array_equal(image.pixels, pixels)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("a.png", GRAY8),
        ("a.pgm", GRAY8),
        ("a.bmp", RGB8),
        ("a.webp", RGB8),
        ("a.png", GRAY16),
        ("a.tif", GRAY16),
        ("a.png", np.dstack([RGB8, GRAY8])),
    ],
    ids=lambda given: given if isinstance(given, str) else f"{given.dtype}-{given.shape}",
)
def test_pixels_are_kept(tmp_path, name, pixels):
    assert same(pillow_file(tmp_path, pixels, name, lossless=True), pixels)


def test_sixteen_bit_color_png_is_not_narrowed(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(RGB16))
    assert same(tmp_path / "a.png", RGB16)


def test_sixteen_bit_gray_png_with_alpha_loses_the_alpha_only(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.stack([GRAY16, GRAY16 * 0], axis=-1)))
    assert same(tmp_path / "a.png", GRAY16)


def test_jpeg_is_decoded_as_pillow_does(tmp_path):
    path = pillow_file(tmp_path, RGB8, "a.jpg")
    assert np.array_equal(read_image(path).pixels, np.asarray(PIL.Image.open(path)))
    assert same(pillow_file(tmp_path, np.full((8, 8), 77, np.uint8), "b.jpg"), np.full((8, 8), 77, np.uint8))


def test_a_palette_becomes_its_colors(tmp_path):
    palette = PIL.Image.fromarray(GRAY8 // 64).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette.save(tmp_path / "a.png")
    table = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]], np.uint8)
    assert same(tmp_path / "a.png", table[GRAY8 // 64])


def test_one_bit_becomes_black_and_white(tmp_path):
    PIL.Image.fromarray(GRAY8 > 100).save(tmp_path / "a.png")
    assert same(tmp_path / "a.png", (GRAY8 > 100).astype(np.uint8) * 255)


def test_counts_of_a_fourteen_bit_pgm_stay_as_they_stand(tmp_path):
    counts = (GRAY16 // 4).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5\n# counts\n7 5\n16383\n" + counts.tobytes())
    assert same(tmp_path / "a.pgm", counts.astype(np.uint16), "tir")


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (GRAY16, {"byteorder": ">", "compression": "deflate"}),
        (GRAY16, {"tile": (16, 16), "compression": "lzw", "predictor": True}),
        (GRAY16.astype(np.float32), {"compression": "zlib", "predictor": 3}),
        (RGB16, {"bigtiff": True, "rowsperstrip": 2, "photometric": "rgb"}),
    ],
    ids=str,
)
def test_a_tiff_keeps_its_pixels(tmp_path, pixels, options):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    assert same(tmp_path / "a.tif", pixels, "tir")


def test_a_planar_tiff_has_its_channels_last(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate")
    assert same(tmp_path / "a.tif", RGB16)


def test_miniswhite_is_inverted_within_its_bits(tmp_path):
    tifffile.imwrite(tmp_path / "b.tif", GRAY16, photometric="miniswhite")
    assert same(tmp_path / "b.tif", 65535 - GRAY16)
    counts = GRAY16 // 16
    tifffile.imwrite(tmp_path / "a.tif", counts, photometric="miniswhite", bitspersample=12)
    assert same(tmp_path / "a.tif", 4095 - counts)


def test_wider_integers_are_narrowed_only_where_they_fit(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY16.astype(np.int32))
    assert same(tmp_path / "a.tif", GRAY16)
    tifffile.imwrite(tmp_path / "b.tif", np.array([[-5, 100000]], np.int32))
    assert same(tmp_path / "b.tif", np.array([[-5, 100000]], np.float32))


def test_of_several_pages_the_first_is_read_and_the_others_are_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GRAY16, GRAY16 * 0, GRAY16 * 0]), photometric="minisblack")
    assert same(tmp_path / "a.tif", GRAY16)


def test_a_tiff_of_many_channels_is_refused(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((5, 7, 6), np.uint8), photometric="minisblack", planarconfig=1
    )
    with pytest.raises(ImageFault, match="6 channels; give one band a file"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["jpg", "palette.tif", "deep.png"])
def test_exif_orientation_is_applied_as_pillow_does(tmp_path, kind):
    for orientation in range(10):  # 0 and 9 are none
        path, exif = tmp_path / f"{orientation}.{kind}", PIL.Image.Exif()
        exif[274] = orientation
        PIL.Image.fromarray(RGB8).convert("P" if kind == "palette.tif" else "RGB").save(path, exif=exif)
        upright_image = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(path.read_bytes())))
        expected = np.asarray(upright_image.convert("RGB"))  # from memory: Pillow errs on mapped palette TIFF
        if kind == "deep.png":
            path.write_bytes(deep_png_with_exif(exif.tobytes()))
            expected = upright(RGB16, orientation) if 1 <= orientation <= 8 else RGB16
        assert same(path, expected), orientation


def deep_png_with_exif(exif: bytes) -> bytes:
    png = imagecodecs.png_encode(RGB16)
    chunk = b"eXIf" + exif.removeprefix(b"Exif\0\0")
    after_header = 8 + 25
    packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:after_header] + packed + png[after_header:]


def test_the_name_does_not_matter(tmp_path):
    pillow_file(tmp_path, GRAY16, "a.png").rename(tmp_path / "a.jpg")
    assert same(tmp_path / "a.jpg", GRAY16)


def test_units_are_those_of_the_caller_for_thermal_only(tmp_path):
    path = pillow_file(tmp_path, GRAY16, "a.png")
    assert read_image(path, "tir").units is Units.COUNTS
    assert read_image(path, "tir", "centikelvin").units is Units.CENTIKELVIN
    assert read_image(path, "rgb", "centikelvin").units is Units.COUNTS


def fault(path: Path, **options: object) -> str:
    with pytest.raises(ImageFault) as caught:
        read_image(path, **options)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_what_is_no_file_is_a_named_fault(tmp_path):
    (tmp_path / "a.png").touch()
    for path in (
        tmp_path / "gone.png",
        tmp_path / "a\0.png",
        tmp_path / ("a" * 5000),
        tmp_path,
        tmp_path / "a.png",
    ):
        assert fault(path)


@pytest.mark.parametrize("band", ["rgb", "tir"])
def test_what_is_no_image_is_a_named_fault(tmp_path, band):
    for content in (
        b"just text\n",
        b"\0" * 100,
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"<html>404",
    ):
        (tmp_path / "a.png").write_bytes(content)
        assert fault(tmp_path / "a.png", band=band)


def encoded(kind: str) -> bytes:
    smooth = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    buffer = io.BytesIO()
    if kind == "deep.png":
        return imagecodecs.png_encode(np.stack([smooth] * 3, axis=-1))
    if kind.startswith("tif"):
        tifffile.imwrite(buffer, smooth, compression=kind.partition(":")[2] or None)
    else:
        gray = PIL.Image.fromarray(smooth if kind in ("PNG", "PPM") else (smooth // 256).astype(np.uint8))
        gray.save(buffer, format=kind)
    return buffer.getvalue()


def test_a_truncated_file_is_a_named_fault(tmp_path):
    for kind in ("PNG", "deep.png", "JPEG", "BMP", "PPM", "WEBP", "tif", "tif:lzw", "tif:deflate"):
        data = encoded(kind)
        for share in (0.2, 0.6, 0.85):
            (tmp_path / "a.img").write_bytes(data[: int(len(data) * share)])
            assert fault(tmp_path / "a.img", band="tir"), (kind, share)


@pytest.mark.parametrize("kind", ["PNG", "deep.png", "JPEG"])
def test_a_file_whose_end_was_never_written_is_a_named_fault_and_one_that_is_padded_is_read(tmp_path, kind):
    data = encoded(kind)
    for share in (0.6, 0.97):
        kept = int(len(data) * share)
        (tmp_path / "a.img").write_bytes(data[:kept] + bytes(len(data) - kept + 100))
        assert "zeros" in fault(tmp_path / "a.img")
    (tmp_path / "a.img").write_bytes(data + bytes(4096))
    assert read_image(tmp_path / "a.img").size == (64, 64)


def test_a_png_header_of_65535_by_65535_is_refused_undecoded(tmp_path):
    for depth, color, chunks in itertools.product((8, 16), (0, 2), (1, 3)):
        parts = [ihdr(65535, depth, color), chunk(b"IDAT", zlib.compress(b"\0")), chunk(b"IEND", b"")][:chunks]
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        assert "65535" in fault(tmp_path / "a.png")


def test_an_image_above_the_limit_is_refused_and_one_at_it_read(tmp_path):
    for kind in ("PNG", "JPEG", "tif", "PPM"):
        (tmp_path / "a").write_bytes(encoded(kind))
        assert "64 x 64" in fault(tmp_path / "a", max_pixels=4095)
        assert read_image(tmp_path / "a", max_pixels=4096).size == (64, 64)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def ihdr(side: int, depth: int = 8, color: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, 0))


def test_a_header_that_is_not_the_first_chunk_hides_no_bomb(tmp_path):
    hidden = chunk(b"tEXt", struct.pack(">II", 4, 4) + b"a\0b"), ihdr(4)
    for before, (depth, color) in itertools.product(hidden, ((8, 0), (16, 2))):
        rows = zlib.compress(bytes(30 * (30 * (6 if color else 1) + 1)))
        rest = ihdr(30, depth, color) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + before + rest)
        assert fault(tmp_path / "a.png", max_pixels=100)


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "CMYK", "I;16", "F"])
def test_a_large_image_is_read_in_strips_to_the_same_pixels(tmp_path, monkeypatch, mode):
    deep = {"I;16": GRAY16, "I": GRAY16.astype(np.int32) + 70000, "F": GRAY16.astype(np.float32)}
    image = PIL.Image.fromarray(deep[mode]) if mode in deep else PIL.Image.fromarray(RGB8).convert(mode)
    path = tmp_path / "a"
    image.save(path, format="TIFF" if mode in ("CMYK", "I", "F") else "PNG", compression=None)
    whole = module.decode_with_pillow(path.read_bytes(), 100)
    monkeypatch.setattr(module, "_STRIP_PIXELS", 14)
    strips = module.decode_with_pillow(path.read_bytes(), 100)
    assert strips.dtype == whole.dtype
    assert np.array_equal(strips, whole)


MEASURE = """
import sys
from crossband.io import read_image
from crossband.data.preprocess import Preprocess

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) >> 10

small, large, band = sys.argv[1:]
Preprocess((8, 8))(read_image(small, band), band)
before = peak()
Preprocess((320, 320))(read_image(large, band), band)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("band", ["rgb", "tir"])
def test_reading_the_largest_image_takes_little_more_than_its_bytes_twice(tmp_path, band):
    for side in (90, 9900):  # of one bit, some 12 KB; Pillow's copy and the array are 94 MiB each
        PIL.Image.new("1", (side, side)).save(tmp_path / f"{side}.png")
    arguments = [sys.executable, "-c", MEASURE, *(str(tmp_path / f"{side}.png") for side in (90, 9900)), band]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) < 300


def test_the_size_is_read_from_the_header(tmp_path):
    assert image_size(pillow_file(tmp_path, GRAY8, "a.png")) == (5, 7)
    tifffile.imwrite(tmp_path / "a.tif", GRAY16)
    assert image_size(tmp_path / "a.tif") == (5, 7)
    with pytest.raises(ImageFault, match="missing"):
        image_size(tmp_path / "gone.tif")


def test_random_damage_never_raises_anything_else(tmp_path):
    rng = np.random.default_rng(1)
    for kind in ("PNG", "deep.png", "JPEG", "tif", "tif:lzw", "PPM"):
        clean = np.frombuffer(encoded(kind), np.uint8)
        for _ in range(15):
            damaged = clean.copy()
            damaged[rng.integers(0, min(len(clean), 400), 6)] = rng.integers(0, 256, 6)
            (tmp_path / "a").write_bytes(damaged.tobytes())
            try:
                image = read_image(tmp_path / "a", "tir")
            except ImageFault:
                continue
            assert image.pixels.ndim in (2, 3)


def test_suffixes_are_lower_case_with_a_dot():
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)


@pytest.mark.shared
def test_a_four_channel_mfnet_image_keeps_all_four(shared):
    image = read_image(shared / "data" / "singles" / "mfnet_rgba" / "01477D.png")
    assert image.pixels.shape[-1] == 4
