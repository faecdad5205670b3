"""Every verb given a folder with one of each fault: exit 0, what was left out said once, the rest done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband.datasets import open_frames
from crossband.retrieval import Gallery, Options, benchmark, explain, fit_descriptor, index, robustness, search
from crossband.retrieval.descriptor.descriptor import Descriptor
from crossband.segmentation import segment

from .conftest import write_pairs

SMALL = Options(size=(64, 64), device="cpu")
SOUND = 6


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def wrong_kind(path: Path) -> None:
    path.write_text("not an image")


def unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def constant(path: Path) -> None:
    PIL.Image.new("I;16", (64, 48), 29000).save(path)


def two_pages(path: Path) -> None:
    pixels = np.asarray(PIL.Image.open(path))
    tifffile.imwrite(path, np.stack([pixels, pixels + 1]), photometric="minisblack")


def with_nan(path: Path) -> None:
    pixels = np.asarray(PIL.Image.open(path)).astype(np.float32)
    pixels[:5] = np.nan
    tifffile.imwrite(path, pixels)


UNUSABLE = (truncated, empty, wrong_kind)
SAID = {constant: "constant", two_pages: "pages", with_nan: "holes"}


def benchmark_(root: Path, out: Path) -> int:
    done = benchmark(open_frames(root), ["hog"], "rgb", "tir", store=out / "s", misaligned=False, options=SMALL)
    return done.runs[0].n_gallery


def explain_(root: Path, out: Path) -> int:
    done = explain(open_frames(root), ["hog"], store=out / "s", masks=None, projections=["pca"], options=SMALL)
    return done.result.runs[0].n_gallery


def robustness_(root: Path, out: Path) -> int:
    robustness(open_frames(root), ["hog"], "rgb", "tir", store=out / "s", options=SMALL)
    return benchmark_(root, out)


def index_(root: Path, out: Path) -> int:
    done = index(open_frames(root), out / "g", "hog", ["tir"], options=SMALL)
    assert Gallery.info(out / "g")["items"] == done.added
    assert len(search(root / "rgb" / "0000.png", out / "g", 3)) == 3
    for fault in done.faults:
        print(f"left out: {fault}")
    return done.added


def fit_(root: Path, out: Path) -> int:
    fitted = fit_descriptor([open_frames(root)], Descriptor.load("hog", SMALL), 2, store=out / "s")
    fitted.save(out / "f.safetensors")
    return benchmark_(root, out)


def segment_(root: Path, out: Path) -> int:
    from .segmentation.test_predict import checkpoint_of

    return len(segment([root], checkpoint_of(out / "c.safetensors"), out / "segmented"))


VERBS = (benchmark_, explain_, robustness_, index_, fit_, segment_)


@pytest.fixture
def recording(tmp_path):
    """``recording(fault)``: seven pairs, of which the last thermal image has a fault."""

    def made(fault) -> Path:
        root = write_pairs(tmp_path / "set", n=SOUND + 1)
        fault(root / "tir" / f"{SOUND:04d}.png")
        return root

    return made


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__.rstrip("_"))
@pytest.mark.parametrize("fault", UNUSABLE, ids=lambda fault: fault.__name__)
def test_what_cannot_be_read_is_left_out_and_said_and_the_rest_done(recording, tmp_path, capfd, verb, fault):
    assert verb(recording(fault), tmp_path) == SOUND
    output = "".join(capfd.readouterr())
    assert "left out" in output
    assert f"{SOUND:04d}.png" in output


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__.rstrip("_"))
@pytest.mark.parametrize("fault", SAID, ids=lambda fault: fault.__name__)
def test_what_can_be_read_but_not_be_right_is_used_and_said(recording, tmp_path, capfd, verb, fault):
    assert verb(recording(fault), tmp_path) == SOUND + 1
    assert SAID[fault] in "".join(capfd.readouterr())


def test_a_link_to_nowhere_is_a_file_that_is_not_there(recording, tmp_path):
    assert index_(recording(unreadable), tmp_path) == SOUND
