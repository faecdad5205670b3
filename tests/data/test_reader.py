"""What the one reader of frames promises: the file's own pixels, kept within its memory, from any thread."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest

from crossband.bands import Band
from crossband.data.preprocess import Preprocess
from crossband.data.reader import FrameReader
from crossband.errors import CrossbandError, ImageFault
from crossband.frames import Frames
from crossband.io import read_image
from crossband.io.boxes import read_boxes

SIZE = (512, 512)  # (height, width); a color image is 0.75 MB


@pytest.fixture
def frames(tmp_path, rng):
    rows = []
    for name in "abc":
        color = rng.integers(0, 256, (*SIZE, 3), np.uint8)
        PIL.Image.fromarray(color).save(tmp_path / f"{name}.png", compress_level=1)
        PIL.Image.fromarray(color[..., 0] // 128).save(tmp_path / f"{name}_labels.png")
        rows.append({"frame": name, "rgb": f"{name}.png", "tir": f"{name}.png", "labels": f"{name}_labels.png"})
    return Frames.make(rows, tmp_path)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def reads(monkeypatch):
    """The files that are read, in order."""
    read: list[str] = []

    def counted(path, *rest):
        read.append(path.name)
        return read_image(path, *rest)

    monkeypatch.setattr("crossband.data.reader.read_image", counted)
    return read


def test_what_is_read_is_what_the_file_holds(frames):
    reader = FrameReader(frames, preprocess=Preprocess(size=(32, 32)))
    image = read_image(frames.root / "b.png")
    np.testing.assert_array_equal(reader.pixels(1, "rgb"), image.pixels)
    np.testing.assert_array_equal(reader.labels(1), image.pixels[..., 0] // 128)
    expected = Preprocess(size=(32, 32)).unit(image, Band.RGB)
    np.testing.assert_array_equal(reader.unit(1, Band.RGB).numpy(), expected.numpy())


def test_memory_holds_what_fits_and_the_rest_is_read_again(frames, reads):
    reader = FrameReader(frames, cache_mb=2)
    for _ in range(2):
        for row in range(3):
            reader.pixels(row, "rgb")
    assert reads == ["a.png", "b.png", "c.png", "c.png"]


def test_without_memory_nothing_is_kept(frames, reads):
    reader = FrameReader(frames)
    assert reader.pixels(0, "rgb") is not reader.pixels(0, "rgb")
    assert len(reads) == 2


def test_bands_and_forms_of_one_file_are_kept_apart(frames):
    reader = FrameReader(frames, cache_mb=64, preprocess=Preprocess(size=(16, 16)))
    for _ in range(2):
        assert reader.pixels(0, "rgb").shape == (*SIZE, 3)
        assert reader.unit(0, Band.RGB).shape == (3, 16, 16)
        assert reader.unit(0, Band.TIR).shape == (1, 16, 16)


@pytest.mark.slow
def test_threads_that_read_the_same_frames_agree_and_stay_within_the_memory(frames):
    reader = FrameReader(frames, cache_mb=2)
    rows = [0, 1, 2] * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: reader.pixels(row, "rgb"), rows))
    for row, pixels in zip(rows, found, strict=True):
        np.testing.assert_array_equal(pixels, reader.pixels(row, "rgb"))
    assert sum(reader.pixels(row, "rgb") is reader.pixels(row, "rgb") for row in range(3)) == 2


def test_a_copy_for_another_process_reads_the_same(frames):
    reader = FrameReader(frames, cache_mb=8)
    kept = reader.pixels(0, "rgb")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader)).pixels(0, "rgb"), kept)  # noqa: S301


def test_a_file_that_is_not_there_is_named(frames):
    (frames.root / "c.png").unlink()
    with pytest.raises(ImageFault, match=r"c\.png"):
        FrameReader(frames).pixels(2, "rgb")


LEFT_HALF, RIGHT_HALF = "0,0,0.5,1", "0.5,0,0.5,1"


def labeled(root, sizes, **columns):
    """One frame of bands of some sizes, with labels that number their columns."""
    root.mkdir(parents=True, exist_ok=True)
    row = {"frame": "a", "labels": "labels.png", **columns}
    for name, (height, width) in sizes.items():
        pixels = np.tile(np.arange(width, dtype=np.uint8), (height, 1))
        PIL.Image.fromarray(pixels).save(root / f"{name}.png")
        row |= {} if name == "labels" else {name: f"{name}.png"}
    return FrameReader(Frames.make([row], root))


@pytest.mark.parametrize("on", ["rgb", "tir"])
def test_a_label_map_is_cut_and_turned_as_the_band_it_was_drawn_on(tmp_path, on):
    sizes = {"rgb": (8, 16), "tir": (6, 8)}
    reader = labeled(tmp_path, {**sizes, "labels": sizes[on]}, view=f"rgb={RIGHT_HALF}", turn="tir=180")
    assert np.array_equal(reader.labels(0), reader.pixels(0, on))
    assert reader.labels(0)[0, 0] == (8 if on == "rgb" else 7)


def test_a_label_map_that_may_be_of_either_band_is_a_named_fault_unless_it_is_said(tmp_path):
    sizes = dict.fromkeys(("rgb", "tir", "labels"), (8, 16))
    with pytest.raises(ImageFault, match="labels="):
        labeled(tmp_path, sizes, view=f"rgb={RIGHT_HALF}").labels(0)
    with pytest.raises(ImageFault, match="labels="):
        labeled(tmp_path, {**sizes, "labels": (4, 8)}, view=f"rgb={RIGHT_HALF}").labels(0)
    as_it_is = labeled(tmp_path, sizes, view=f"rgb={RIGHT_HALF}", turn="labels=0")
    assert as_it_is.labels(0).shape == (8, 16)
    other = labeled(tmp_path, sizes, view=f"rgb={RIGHT_HALF} labels={LEFT_HALF}")
    assert (other.labels(0)[0, 0], other.pixels(0, "rgb")[0, 0]) == (0, 8)
    both = labeled(tmp_path, sizes, turn="rgb=180 tir=180")
    assert both.labels(0)[0, 0] == 15


def test_boxes_do_not_follow_a_view_and_that_is_said(tmp_path):
    reader = labeled(tmp_path, {"tir": (8, 16), "labels": (8, 16)}, boxes="boxes.json", turn="tir=180")
    with pytest.raises(CrossbandError, match="turn"):
        read_boxes(reader.frames)
