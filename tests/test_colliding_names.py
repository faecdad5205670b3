"""Frames whose names differ by case, or by a slash and an underscore, stay frames of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from crossband.datasets import scan
from crossband.frames import Frames
from crossband.retrieval import Gallery, Options, embed, index

from .segmentation.test_predict import checkpoint_of

PAIRS = [("A", "a"), ("a/b", "a_b"), ("Äpfel", "äpfel"), ("1", "01"), ("x.y", "x")]
over_names = pytest.mark.parametrize("names", PAIRS, ids="-".join)


def draw(root: Path, names: tuple[str, str]) -> Frames:
    """Two frames that look different, in rgb and tir; skips where a disk takes their names for one."""
    rng = np.random.default_rng(0)
    for name in names:
        for band in ("rgb", "tir"):
            path = root / band / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                pytest.skip(f"this disk takes {names[0]} and {names[1]} for one")
            picture = PIL.Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).resize((64, 48))
            picture.convert("RGB" if band == "rgb" else "L").save(path)
    rows = [{"frame": name, "rgb": f"rgb/{name}.png", "tir": f"tir/{name}.png"} for name in names]
    return Frames.make(rows, root)


@over_names
def test_both_are_found_in_a_folder(tmp_path, names):
    frames = draw(tmp_path, names)
    assert sorted(scan(tmp_path).names) == sorted(frames.names)


@over_names
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_both_are_read_back_from_a_manifest(tmp_path, names, suffix):
    again = Frames.read(draw(tmp_path, names).write(tmp_path / f"frames{suffix}"))
    assert again.names == list(names)


@pytest.mark.slow
@over_names
def test_each_finds_itself_in_a_gallery(tmp_path, names, monkeypatch):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    frames, options = draw(tmp_path / "pairs", names), Options(size=(64, 64), device="cpu")
    assert index(frames, tmp_path / "g", "hog", ["tir"], options=options).added == 2
    assert index(frames, tmp_path / "g", bands=["tir"], options=options).unchanged == 2
    gallery = Gallery.open(tmp_path / "g")
    for name, path in zip(frames.names, frames.paths("tir"), strict=True):
        best = gallery.nearest(gallery.describe(path, "tir"), 1)[0]
        assert (best.frame, best.distance) == (name, pytest.approx(0, abs=0.02))


def test_neither_gets_the_other_s_vector_from_the_cache(tmp_path):
    from crossband.retrieval import Descriptor

    hog = Descriptor.load("hog", Options(size=(64, 64), device="cpu"))
    for number, names in enumerate(PAIRS):
        frames = draw(tmp_path / str(number), names)
        rows = embed(frames, hog, ["tir"], store=tmp_path / "store").bands["tir"].pooled.rows(0, 2)
        assert not np.allclose(rows[0], rows[1])
        again = embed(frames.select([1, 0]), hog, ["tir"], store=tmp_path / "store")
        assert again.computed == 0
        assert np.array_equal(again.bands["tir"].pooled.rows(0, 2), rows[::-1])


@pytest.mark.slow
@over_names
def test_label_maps_are_all_written_also_where_their_names_would_be_one(tmp_path, names):
    from crossband.segmentation.predict import segment

    draw(tmp_path / "pairs", names).write(tmp_path / "pairs" / "frames.csv")
    checkpoint = checkpoint_of(tmp_path / "best.safetensors")
    found = segment([tmp_path / "pairs"], checkpoint, tmp_path / "out")
    assert len({one.labels.casefold() for one in found}) == 2
    assert all(Path(one.labels).is_file() for one in found)
