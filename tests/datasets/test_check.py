"""Every fault of a set is found with its file and reason, and nothing stops the search."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from crossband.datasets.check import check_frames, look_at_some, same_picture
from crossband.frames import Frames


def bomb_header() -> bytes:
    """A PNG whose header claims 65535x65535 pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", 65535, 65535, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.fixture
def faulty(tmp_path, make_pairs):
    """Twelve frames, nine of the last ten at fault, each in another way; one has bands of unequal shape."""
    root = make_pairs(tmp_path, n=12)
    rgb, tir = root / "rgb", root / "tir"
    (rgb / "0002.png").unlink()
    (rgb / "0003.png").write_bytes(b"")
    (tir / "0004.png").write_text("not an image")
    data = (rgb / "0005.png").read_bytes()
    (rgb / "0005.png").write_bytes(data[: len(data) // 2])
    (tir / "0006.png").write_bytes(bomb_header())
    PIL.Image.new("RGB", (64, 48), (9, 9, 9)).save(rgb / "0007.png")
    PIL.Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(tir / "0008.png")
    (rgb / "0009.png").write_bytes((rgb / "0000.png").read_bytes())
    (tir / "0010.png").unlink()
    (tir / "0010.png").mkdir()
    (tir / "0011.png").unlink()
    os.mkfifo(tir / "0011.png")
    rows = [{"frame": f"{i:04d}", "rgb": f"rgb/{i:04d}.png", "tir": f"tir/{i:04d}.png"} for i in range(12)]
    return Frames.make(rows, root)


def test_each_fault_is_named_with_its_file_and_reason(faulty):
    audit = check_frames(faulty)
    found = [(fault.frame, fault.band, fault.kind) for fault in audit.faults]
    assert found == [
        ("0002", "rgb", "unreadable"),
        ("0003", "rgb", "unreadable"),
        ("0004", "tir", "unreadable"),
        ("0005", "rgb", "unreadable"),
        ("0006", "tir", "unreadable"),
        ("0007", "rgb", "constant"),
        ("0009", "rgb", "duplicate"),
        ("0010", "tir", "unreadable"),
        ("0011", "tir", "unreadable"),
    ]
    reasons = {fault.frame: fault.reason for fault in audit.faults}
    assert reasons["0002"] == "missing"
    assert reasons["0003"] == "empty file (0 bytes)"
    assert reasons["0004"].startswith("not an image")
    assert reasons["0005"].startswith("truncated")
    assert reasons["0006"].startswith("decompression bomb")
    assert reasons["0009"] == "the same file content as frame 0000"
    assert reasons["0010"] == reasons["0011"] == "not a file"
    assert audit.faults[0].path == str(faulty.root / "rgb" / "0002.png")
    assert (audit.n_frames, audit.n_images) == (12, 24)


def test_the_faults_are_a_table(faulty):
    table = check_frames(faulty).to_pandas()
    assert list(table) == ["frame", "band", "path", "kind", "reason"]
    assert len(table) == 9


def test_a_sound_set_has_no_fault(tmp_path, make_pairs):
    root = make_pairs(tmp_path, n=2, bands=("rgb", "nir", "tir"))
    rows = [{"frame": s, **{b: f"{b}/{s}.png" for b in ("rgb", "nir", "tir")}} for s in ("0000", "0001")]
    audit = check_frames(Frames.make(rows, root))
    assert audit.faults == []
    assert list(audit.to_pandas()) == ["frame", "band", "path", "kind", "reason"]


def test_bands_of_unequal_resolution_are_no_fault_and_of_unequal_shape_a_remark(tmp_path, make_pairs):
    make_pairs(tmp_path, n=2)
    for size, remarks in (((32, 24), 0), ((30, 30), 1)):
        for i in range(2):
            with PIL.Image.open(tmp_path / "tir" / f"000{i}.png") as image:
                image.resize(size).save(tmp_path / "tir" / f"000{i}.png")
        rows = [{"frame": str(i), "rgb": f"rgb/000{i}.png", "tir": f"tir/000{i}.png"} for i in range(2)]
        audit = check_frames(Frames.make(rows, tmp_path))
        shapes = [line for line in audit.remarks if line.startswith("unequal shapes")]
        assert (audit.faults, len(shapes)) == ([], remarks)


def test_one_file_for_both_bands_is_one_band_twice(tmp_path, make_pairs):
    make_pairs(tmp_path, n=1)
    frames = Frames.make([{"frame": "a", "rgb": "rgb/0000.png", "tir": "rgb/0000.png"}], tmp_path)
    assert [fault.kind for fault in check_frames(frames).faults] == ["band twice"]
    assert any(line.startswith("band twice") for line in look_at_some(frames).lines())


@pytest.mark.parametrize("kind", ["palette", "depth", "jpeg"])
def test_a_palette_or_another_depth_of_the_thermal_image_is_one_band_twice(tmp_path, make_pairs, kind):
    cv2 = pytest.importorskip("cv2")
    make_pairs(tmp_path, n=4)
    rows = []
    for i in range(4):
        counts = np.asarray(PIL.Image.open(tmp_path / "tir" / f"000{i}.png")).astype(float)
        gray = ((counts - counts.min()) / np.ptp(counts) * 255).astype(np.uint8)
        color = gray if kind == "depth" else cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO)[..., ::-1]
        name = f"{i}.{'jpg' if kind == 'jpeg' else 'png'}"
        PIL.Image.fromarray(np.ascontiguousarray(color)).save(tmp_path / name, quality=90)
        rows.append({"frame": str(i), "rgb": name, "tir": f"tir/000{i}.png"})
    audit = check_frames(Frames.make(rows, tmp_path))
    assert any(line.startswith("band twice: 4 images") for line in audit.remarks)
    assert any(line.startswith("band twice") for line in look_at_some(Frames.make(rows, tmp_path)).lines())


@pytest.mark.parametrize("copied", [True, False])
def test_near_infrared_that_follows_colors_is_a_band_but_a_gray_copy_is_none(tmp_path, copied):
    rng, rows = np.random.default_rng(4), []
    reflects = rng.uniform(60, 200, (12, 4))  # a few materials, as in a simulated street
    for i in range(4):
        (tmp_path / "rgb").mkdir(exist_ok=True)
        (tmp_path / "nir").mkdir(exist_ok=True)
        seen = reflects[np.kron(rng.integers(0, 12, (8, 8)), np.ones((12, 12), int))]
        light = rng.uniform(0.7, 1, (96, 96, 1)) * np.ones((1, 1, 4))
        light[..., 3] = rng.uniform(0.8, 1, (96, 96))  # texture differs
        pixels = (seen * light).astype(np.uint8)
        other = pixels[..., :3].mean(-1).astype(np.uint8) if copied else pixels[..., 3]
        PIL.Image.fromarray(pixels[..., :3]).save(tmp_path / "rgb" / f"{i}.png")
        PIL.Image.fromarray(other).save(tmp_path / "nir" / f"{i}.png")
        rows.append({"frame": str(i), "rgb": f"rgb/{i}.png", "nir": f"nir/{i}.png"})
    remarks = check_frames(Frames.make(rows, tmp_path)).remarks
    assert any(line.startswith("band twice") for line in remarks) == copied


@pytest.mark.slow
@pytest.mark.parametrize("side", [6, 8, 16, 64, 200])
def test_two_nearly_black_bands_are_two_even_with_one_lamp_in_both(side):
    rng = np.random.default_rng(side)
    lamp = np.zeros((side, side), np.uint8)
    lamp[side // 2 :][: max(side // 8, 1), : max(side // 8, 1)] = 90
    for _ in range(20):
        one, other = (rng.poisson(0.3, (side, side)).astype(np.uint8) for _ in range(2))
        assert same_picture(one, other) is None
        assert same_picture(one + lamp, other + lamp) is None
        assert same_picture(np.stack([one + lamp] * 3, -1), other + lamp) is None
    assert same_picture(lamp, lamp) is None  # all that is equal is the lamp


@pytest.mark.parametrize("side", [6, 8, 16, 64, 200])
def test_unlike_pictures_are_two_at_any_size_and_a_copy_is_one(side):
    rng = np.random.default_rng(side)
    one, other = (rng.integers(0, 250, (side, side), np.uint8) for _ in range(2))
    assert same_picture(one, other) is None
    assert same_picture(one, one.copy()) == "the pixels are equal"


def test_an_image_without_a_single_number_is_constant(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), np.nan, np.float32))
    [fault] = check_frames(Frames.make([{"frame": "a", "tir": "a.tif"}], tmp_path)).faults
    assert fault.kind == "constant"


def test_missing_labels_and_boxes_are_faults(tmp_path, make_pairs):
    make_pairs(tmp_path, n=1)
    row = {"frame": "a", "rgb": "rgb/0000.png", "labels": "gone.png", "boxes": "rgb/0000.png"}
    [fault] = check_frames(Frames.make([row], tmp_path)).faults
    assert (fault.band, fault.reason) == ("labels", "missing")


@pytest.mark.shared
def test_roadscene_is_sound(shared):
    from crossband.datasets import scan

    frames = scan(shared / "data" / "roadscene").every(20)
    assert check_frames(frames).faults == []
