"""Images that were read once are not decoded again before every run, and are said to be as they are."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile

from crossband.datasets import check, open_frames
from crossband.datasets.check import usable_frames
from crossband.errors import ImageFault


@pytest.fixture
def frames(make_pairs, tmp_path):
    root = make_pairs(tmp_path / "set", n=4)
    pixels = np.full((48, 64), 300.0, np.float32) + np.arange(64, dtype=np.float32)
    pixels[:5] = np.nan
    tifffile.imwrite(root / "tir" / "0001.png", pixels)
    (root / "tir" / "0002.png").write_bytes(b"")
    return open_frames(root)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the images that are decoded from now on."""
    names: list[str] = []
    plain = check.decode_image

    def told(data, path, *args):
        names.append("/".join(path.parts[-2:]))
        return plain(data, path, *args)

    monkeypatch.setattr(check, "decode_image", told)
    return names


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSBAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("crossband.io.memo._SETTLED", 0.0)  # files that were written a moment ago count too


def test_an_image_is_decoded_once_and_what_was_remarked_of_it_is_said_each_time(frames, decoded, capsys):
    decoded.clear()
    capsys.readouterr()
    first = usable_frames(frames)
    said = capsys.readouterr().err
    assert len(decoded) == 7
    assert "holes" in said
    decoded.clear()
    again = usable_frames(frames)
    assert capsys.readouterr().err == said
    assert again.table.equals(first.table)
    assert decoded == []


def test_an_image_that_changed_is_decoded_again(frames, decoded):
    usable_frames(frames)
    decoded.clear()
    path = frames.root / "rgb" / "0003.png"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)  # as long as before, and dated as before
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    usable = usable_frames(frames)
    assert "rgb/0003.png" in decoded
    assert usable.table["rgb"].isna().sum() == 1


def test_another_band_or_other_units_are_another_reading(frames, decoded):
    usable_frames(frames, ["tir"])
    decoded.clear()
    usable_frames(frames.assign(tir_units="kelvin"), ["tir"])
    assert len(decoded) == 3


def test_what_is_of_no_use_to_a_run_is_left_out_though_it_was_remembered(frames, tmp_path):
    for i in range(4):
        tifffile.imwrite(frames.root / "tir" / f"000{i}.png", np.full((48, 64), 29000, np.uint16))
    usable_frames(frames, ["tir"])
    with pytest.raises(ImageFault, match="every pixel"):
        usable_frames(frames, ["tir"], constant=False)


def test_without_a_cache_everything_is_decoded(frames, decoded, monkeypatch, tmp_path):
    (tmp_path / "taken").touch()
    monkeypatch.setenv("CROSSBAND_CACHE", str(tmp_path / "taken"))
    for _ in range(2):
        decoded.clear()
        usable_frames(frames)
        assert len(decoded) == 7


def test_a_damaged_memory_is_no_memory(frames, decoded, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "checked.sqlite").write_bytes(b"no database" * 100)
    usable_frames(frames)
    assert len(decoded) == 7
