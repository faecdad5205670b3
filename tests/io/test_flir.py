"""Radiometric JPEG: temperatures, the embedded photograph, and every fault named."""

from __future__ import annotations

import math

import imagecodecs
import numpy as np
import PIL.Image
import pytest

from crossband.bands import Band, Units
from crossband.errors import ImageFault
from crossband.io import read_image
from crossband.io.flir import fff_frames, has_flir_records, has_photograph, is_radiometric_jpeg, read_kelvin

from ..flir_file import PHOTO, PLANCK, RAW, camera_info, fff, radiometric_jpeg, sized


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "flir.jpg"
    path.write_bytes(radiometric_jpeg())
    return path


def test_thermal_pixels_are_kelvin_by_plancks_law(file):
    image = read_image(file, "tir")
    planck = [
        PLANCK["b"] / math.log(PLANCK["r1"] / (PLANCK["r2"] * (raw + PLANCK["o"])) + PLANCK["f"])
        for raw in RAW.ravel().tolist()
    ]
    assert image.units is Units.KELVIN
    assert image.pixels.dtype == np.float32
    assert image.pixels.ravel() == pytest.approx(planck, abs=0.05)


def test_units_in_the_manifest_do_not_overrule_the_file(file):
    assert read_image(file, "tir", "centikelvin").units is Units.KELVIN


def test_the_visible_band_is_the_embedded_photograph(file):
    image = read_image(file, "rgb")
    assert np.array_equal(image.pixels, PHOTO)
    assert image.units is Units.COUNTS


@pytest.mark.parametrize("band", ["rgb", "tir"])
def test_both_bands_are_upright(file, tmp_path, band):
    (tmp_path / "turned.jpg").write_bytes(radiometric_jpeg(orientation=6))
    turned = read_image(tmp_path / "turned.jpg", band).pixels
    assert np.array_equal(turned, np.rot90(read_image(file, band).pixels, 3))


def test_a_gray_photograph_keeps_its_width(tmp_path):
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(PHOTO[..., 0]))
    assert np.array_equal(read_image(tmp_path / "a.jpg", "rgb").pixels, PHOTO[..., 0])


def test_without_a_photograph_the_files_own_picture_is_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(None))
    assert read_image(tmp_path / "a.jpg", "rgb").pixels.shape == (6, 8, 3)


def test_near_infrared_is_the_files_own_picture(file):
    assert read_image(file, Band.NIR).pixels.shape == (6, 8, 3)


@pytest.mark.parametrize("cut", [900, 1400])
def test_damaged_records_are_a_named_fault(tmp_path, cut):
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(cut=cut))
    with pytest.raises(ImageFault, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg", "tir")


def test_a_damaged_photograph_leaves_the_temperatures(tmp_path):
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(cut=300))
    assert read_image(tmp_path / "a.jpg", "tir").size == (6, 8)
    assert read_image(tmp_path / "a.jpg", "rgb").size == (6, 8)


def test_a_directory_that_claims_billions_of_records_is_not_walked(tmp_path):
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(claimed=2**32 - 1))
    with pytest.raises(ImageFault, match="directory is damaged"):
        read_image(tmp_path / "a.jpg", "tir")


def test_a_thermal_image_above_the_limit_is_refused(file):
    with pytest.raises(ImageFault, match="decompression bomb"):
        read_image(file, "tir", max_pixels=47)


def test_only_a_jpeg_with_flir_records_is_radiometric(file, tmp_path):
    assert is_radiometric_jpeg(file.read_bytes())
    assert has_flir_records(file)
    PIL.Image.fromarray(PHOTO).save(tmp_path / "plain.jpg")
    assert not has_flir_records(tmp_path / "plain.jpg")
    assert not has_flir_records(tmp_path)
    assert not is_radiometric_jpeg(b"FLIR\0" + file.read_bytes())


def test_temperatures_agree_with_another_implementation(file):
    flyr = pytest.importorskip("flyr")  # at no distance: it halves a path that weakens by its square root
    assert read_image(file, "tir").pixels == pytest.approx(flyr.unpack(str(file)).kelvin, abs=1e-3)


def test_a_little_endian_directory_reads_as_a_big_endian_one():
    plain = {1: sized(8, 6, RAW.tobytes()), 32: camera_info()}
    big = read_kelvin(fff(plain))
    assert np.array_equal(read_kelvin(fff(plain, order="<")), big)
    assert np.array_equal(read_kelvin(radiometric_jpeg()), big)


def test_the_air_between_weakens_by_the_square_root_of_the_distance():
    """The radiometric equation written out once more, with the file's own constants."""
    record = bytearray(camera_info())
    record[32:56] = np.array([0.7, 20, 295.15, 305.15, 293.15, 0.9], "<f4").tobytes()
    kelvin = read_kelvin(fff({1: sized(8, 6, RAW.tobytes()), 32: bytes(record)}))

    def black(t):
        return PLANCK["r1"] / (PLANCK["r2"] * (math.exp(PLANCK["b"] / t) - PLANCK["f"])) - PLANCK["o"]

    water = 0.5 * math.exp(1.5587 + 0.06939 * 32 - 2.7816e-4 * 32**2 + 6.8455e-7 * 32**3)
    root = math.sqrt(20)
    air = 1.9 * math.exp(-root * (0.006569 - 0.002276 * math.sqrt(water))) - 0.9 * math.exp(
        -root * (0.01262 - 0.00667 * math.sqrt(water))
    )
    seen = 0.7 * air * 0.9 * black(float(kelvin[2, 3]))
    seen += 0.3 * air * 0.9 * black(295.15) + (1 - air) * 0.9 * black(305.15) + 0.1 * black(293.15)
    assert seen == pytest.approx(float(RAW[2, 3]), rel=1e-4)


def test_a_photograph_of_luma_and_chroma_comes_out_in_color(tmp_path):
    scene = np.linspace(0, 255, 140).reshape(10, 14)[..., None] * np.array([1.0, 0.7, 0.5])
    color = PIL.Image.fromarray(scene.astype(np.uint8))
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(np.asarray(color.convert("YCbCr"))))
    got = read_image(tmp_path / "a.jpg", "rgb").pixels.astype(int)
    assert np.abs(got - np.asarray(color)).max() <= 3


def test_without_a_photograph_it_is_said(tmp_path):
    (tmp_path / "a.jpg").write_bytes(radiometric_jpeg(None))
    assert "no photograph" in [r.kind for r in read_image(tmp_path / "a.jpg", "rgb").remarks]
    assert not has_photograph(radiometric_jpeg(None))
    assert has_photograph(radiometric_jpeg())


@pytest.mark.parametrize("lossless", [False, True])
def test_a_sequence_gives_its_first_image_and_says_how_many_there_are(tmp_path, lossless):
    frames = []
    for shift in (0, 1000):
        counts = RAW + np.uint16(shift)
        content = bytes(imagecodecs.jpegls_encode(counts)) if lossless else counts.tobytes()
        frames.append(fff({1: sized(8, 6, content), 32: camera_info()}))
    (tmp_path / "a.seq").write_bytes(b"".join(frames))
    image = read_image(tmp_path / "a.seq", "tir")
    assert np.array_equal(image.pixels, read_kelvin(radiometric_jpeg()))
    assert [r.kind for r in image.remarks] == ["pages"]
    assert len(fff_frames(b"".join(frames))) == 2


def test_constants_that_are_none_are_a_named_fault(tmp_path):
    record = bytearray(camera_info())
    record[88:92] = np.float32(np.nan).tobytes()
    (tmp_path / "a.fff").write_bytes(fff({1: sized(8, 6, RAW.tobytes()), 32: bytes(record)}))
    with pytest.raises(ImageFault, match="constants"):
        read_image(tmp_path / "a.fff", "tir")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "size", "low", "middle", "high"),
    [
        # by ExifTool's constants and the radiometric equation, outside this project
        ("thermal_parser_DJI_XTR.jpg", (512, 640), 289.40, 300.95, 332.57),
        ("thermal_parser_FLIR_E40.jpg", (120, 160), 291.01, 294.14, 297.82),
    ],
)
def test_real_files_have_their_temperatures(shared, name, size, low, middle, high):
    image = read_image(shared / "data" / "radiometric" / name, "tir")
    assert image.size == size
    assert [image.pixels.min(), np.median(image.pixels), image.pixels.max()] == pytest.approx(
        [low, middle, high], abs=0.02
    )
