"""What a file holds is what comes out, upright, and every fault has a name."""

from __future__ import annotations

import io
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
from crossband.errors import CrossbandError, ImageFault
from crossband.io import IMAGE_SUFFIXES, image_size, read_image
from crossband.io import images as module
from crossband.io.images import upright

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


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "pgm"])
def test_eight_bit_gray_is_kept(tmp_path, suffix):
    assert same(pillow_file(tmp_path, GRAY8, f"a.{suffix}"), GRAY8, "tir")


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm"])
def test_eight_bit_color_is_kept(tmp_path, suffix):
    assert same(pillow_file(tmp_path, RGB8, f"a.{suffix}"), RGB8)


def test_lossless_webp_is_kept(tmp_path):
    assert same(pillow_file(tmp_path, RGB8, "a.webp", lossless=True), RGB8)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bit_gray_is_kept(tmp_path, suffix):
    assert same(pillow_file(tmp_path, GRAY16, f"a.{suffix}"), GRAY16, "tir")


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


def test_rgba_keeps_four_channels(tmp_path):
    rgba = np.dstack([RGB8, GRAY8])
    assert same(pillow_file(tmp_path, rgba, "a.png"), rgba)


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
    "options",
    [
        {},
        {"compression": "deflate"},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "packbits"},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "deflate"},
        {"bigtiff": True},
        {"rowsperstrip": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "pixels", [GRAY8, GRAY16, GRAY16.astype(np.float32), RGB8, RGB16], ids=lambda p: p.dtype
)
def test_every_tiff_keeps_its_pixels(tmp_path, options, pixels):
    if pixels.dtype == np.float32 and options.get("predictor"):
        options = {**options, "predictor": 3}
    if pixels.ndim == 3:
        options = {**options, "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    assert same(tmp_path / "a.tif", pixels, "tir")


def test_a_planar_tiff_has_its_channels_last(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate")
    assert same(tmp_path / "a.tif", RGB16)


@pytest.mark.parametrize("pixels", [GRAY8, GRAY16], ids=lambda p: p.dtype)
def test_miniswhite_is_inverted(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    assert same(tmp_path / "a.tif", np.iinfo(pixels.dtype).max - pixels)


def test_miniswhite_of_twelve_bits_is_inverted_within_them(tmp_path):
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
    with pytest.raises(ImageFault, match="6 channels; give one band per file"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "palette.tif", "deep.png"])
def test_exif_orientation_is_applied_as_pillow_does(tmp_path, orientation, kind):
    path, exif = tmp_path / f"a.{kind}", PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(RGB8).convert("P" if kind == "palette.tif" else "RGB").save(path, exif=exif)
    upright_image = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(path.read_bytes())))
    expected = np.asarray(upright_image.convert("RGB"))  # from memory: Pillow errs on mapped palette TIFF
    if kind == "deep.png":
        path.write_bytes(deep_png_with_exif(exif.tobytes()))
        expected = upright(RGB16, orientation)
    assert same(path, expected)


def deep_png_with_exif(exif: bytes) -> bytes:
    png = imagecodecs.png_encode(RGB16)
    chunk = b"eXIf" + exif.removeprefix(b"Exif\0\0")
    after_header = 8 + 25
    packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:after_header] + packed + png[after_header:]


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_is_none_leaves_the_image(tmp_path, orientation):
    exif = PIL.Image.Exif()
    exif[274] = orientation
    assert same(pillow_file(tmp_path, RGB8, "a.png", exif=exif), RGB8)


def test_the_name_does_not_matter(tmp_path):
    pillow_file(tmp_path, GRAY16, "a.png").rename(tmp_path / "a.jpg")
    assert same(tmp_path / "a.jpg", GRAY16)


def test_units_are_those_of_the_caller_for_thermal_only(tmp_path):
    path = pillow_file(tmp_path, GRAY16, "a.png")
    assert read_image(path, "tir").units is Units.COUNTS
    assert read_image(path, "tir", "centikelvin").units is Units.CENTIKELVIN
    assert read_image(path, "rgb", "centikelvin").units is Units.COUNTS


def test_unknown_units_and_bands_are_one_sentence(tmp_path):
    path = pillow_file(tmp_path, GRAY16, "a.png")
    with pytest.raises(CrossbandError, match="unknown units 'kelvins'"):
        read_image(path, "tir", "kelvins")
    with pytest.raises(CrossbandError, match="unknown band 'lwir'"):
        read_image(path, "lwir")


def fault(path: Path, **options: object) -> str:
    with pytest.raises(ImageFault) as caught:
        read_image(path, **options)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_a_missing_file_is_a_named_fault(tmp_path):
    assert fault(tmp_path / "gone.png") == "missing"


def test_a_name_that_no_file_can_have_is_a_named_fault(tmp_path):
    assert fault(tmp_path / "a\0.png").startswith("cannot be read")
    assert fault(tmp_path / ("a" * 5000)).startswith("cannot be read")


def test_an_empty_file_is_a_named_fault(tmp_path):
    (tmp_path / "a.png").touch()
    assert fault(tmp_path / "a.png") == "empty file (0 bytes)"


def test_a_folder_is_a_named_fault(tmp_path):
    assert fault(tmp_path) == "not a file"


@pytest.mark.parametrize(
    "content", [b"just text\n", b"\0" * 100, b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
)
@pytest.mark.parametrize("band", ["rgb", "tir"])
def test_what_is_no_image_is_a_named_fault(tmp_path, content, band):
    (tmp_path / "a.png").write_bytes(content)
    assert fault(tmp_path / "a.png", band=band)


def test_a_text_file_named_png_is_said_to_be_no_image(tmp_path):
    (tmp_path / "a.png").write_text("<html>404</html>")
    assert fault(tmp_path / "a.png").startswith("not an image")


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


@pytest.mark.parametrize(
    "kind", ["PNG", "deep.png", "JPEG", "BMP", "PPM", "WEBP", "tif", "tif:lzw", "tif:deflate"]
)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.85])
def test_a_truncated_file_is_a_named_fault(tmp_path, kind, share):
    data = encoded(kind)
    (tmp_path / "a.img").write_bytes(data[: int(len(data) * share)])
    assert fault(tmp_path / "a.img", band="tir")


def test_a_truncated_jpeg_is_said_to_be_truncated(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG")[:-300])
    assert fault(tmp_path / "a.jpg").startswith("truncated")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("color", [0, 2])
@pytest.mark.parametrize("chunks", [1, 3])
def test_a_png_header_of_65535_by_65535_is_refused_undecoded(tmp_path, depth, color, chunks):
    header = b"IHDR" + struct.pack(">IIBBBBB", 65535, 65535, depth, color, 0, 0, 0)
    parts = [header, b"IDAT" + zlib.compress(b"\0"), b"IEND"][:chunks]
    packed = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    assert fault(tmp_path / "a.png").startswith("decompression bomb")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "tif", "PPM"])
def test_an_image_above_the_limit_is_refused(tmp_path, kind):
    (tmp_path / "a").write_bytes(encoded(kind))
    assert fault(tmp_path / "a", max_pixels=4095) == "decompression bomb: 64 x 64 pixels, more than 4095"
    assert read_image(tmp_path / "a", max_pixels=4096).size == (64, 64)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def ihdr(side: int, depth: int = 8, color: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, 0))


@pytest.mark.parametrize(("depth", "color"), [(8, 0), (16, 2)])
@pytest.mark.parametrize(
    "before", [chunk(b"tEXt", struct.pack(">II", 4, 4) + b"a\0b"), ihdr(4)], ids=["text", "header"]
)
def test_a_header_that_is_not_the_first_chunk_hides_no_bomb(tmp_path, before, depth, color):
    rows = zlib.compress(bytes(30 * (30 * (6 if color else 1) + 1)))
    png = b"\x89PNG\r\n\x1a\n" + before + ihdr(30, depth, color) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(png)
    assert "IHDR" in (reason := fault(tmp_path / "a.png", max_pixels=100)) or "bomb" in reason


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_a_large_image_is_read_in_strips_to_the_same_pixels(tmp_path, monkeypatch, mode):
    deep = {"I;16": GRAY16, "I": GRAY16.astype(np.int32) + 70000, "F": GRAY16.astype(np.float32)}
    image = PIL.Image.fromarray(deep[mode]) if mode in deep else PIL.Image.fromarray(RGB8).convert(mode)
    path = tmp_path / "a"
    image.save(path, format="TIFF" if mode in ("CMYK", "I", "F") else "PNG", compression=None)
    whole = module._decode_with_pillow(path.read_bytes(), 100)
    monkeypatch.setattr(module, "_STRIP_PIXELS", 14)
    strips = module._decode_with_pillow(path.read_bytes(), 100)
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
