"""What retrieval says where it cannot: a call on six frames, or on a gallery of them, and the words."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from crossband.bands import Band
from crossband.cli.gallery import query_image
from crossband.data.preprocess import Statistics
from crossband.frames import Frames
from crossband.metrics.protocol import Protocol
from crossband.retrieval import (
    Descriptor,
    Gallery,
    Options,
    benchmark,
    embed,
    explain,
    fit_descriptor,
    index,
    robustness,
    search,
)
from crossband.retrieval.descriptor.descriptor import Finish
from crossband.retrieval.descriptor_cache import ArrayRows, DescriptorStore
from crossband.retrieval.directions import directions
from crossband.retrieval.fit import principal_axes
from crossband.retrieval.gallery.lance import LanceStore, row_schema
from crossband.retrieval.projection import project
from crossband.retrieval.search import exact_search, gram_matrix, parse_memory
from crossband.retrieval.similarity_map import Masks

from ..messages import assert_says


@dataclass
class At:
    """What a case may use: the fixtures of this folder and a folder of its own."""

    pairs: Frames
    small: Options
    hog: Descriptor
    store: Path
    folder: Path
    gallery: Path

    @property
    def image(self) -> Path:
        """A visible image of the pairs."""
        return self.pairs.paths("rgb")[0]

    def file(self) -> Path:
        """A file where a folder is to be written."""
        (self.folder / "file").touch()
        return self.folder / "file"

    def benchmark(self, *names: str, frames: Frames | None = None, **options):
        frames = self.pairs if frames is None else frames
        return benchmark(frames, names or ["hog"], store=self.store, options=self.small, **options)

    def index(self, model: str | None = None, options: Options | None = None, **more):
        """Index the same pairs into the gallery, which is of hog."""
        given = {"options": options or self.small, **more}
        return index(self.pairs, self.gallery, model, ["tir"], store=self.store, **given)

    def new(self, model: str = "hog", folder: str | Path = "g", bands=("tir",), **more):
        """Index the pairs into another folder."""
        given = {"options": self.small, "store": self.store, **more}
        return index(self.pairs, self.folder / folder, model, list(bands), **given)

    def only(self, *bands: str) -> Frames:
        return Frames.make(self.pairs.table[["frame", *bands]], self.pairs.root)


@pytest.fixture(scope="module")
def made(tmp_path_factory, pairs, small):
    """The pairs in a gallery of hog, and the descriptors that this took. Not to be changed."""
    root = tmp_path_factory.mktemp("messages")
    some = pairs.select(slice(0, 6))
    index(some.assign(camera="north"), root / "g", "hog", ["tir"], options=small, store=root / "store")
    return root, some


@pytest.fixture
def at(made, small, hog, tmp_path) -> At:
    root, some = made
    return At(some, small, hog, root / "store", tmp_path, root / "g")


def by_hand(**options) -> Options:
    return Options(device="cpu", **options)


def blind(at: At) -> None:
    """Index pairs whose thermal images are none."""
    root = at.folder / "blind"
    shutil.copytree(at.pairs.root, root)
    for path in (root / "tir").iterdir():
        path.write_text("not an image")
    embed(Frames.make(at.pairs.table, root), at.hog, store=at.store)


def emptied(at: At) -> None:
    copy = shutil.copytree(at.gallery, at.folder / "gallery")
    Gallery.open(copy).delete("frame >= '0'")
    search(at.image, copy)


def without_rows(at: At) -> None:
    copy = shutil.copytree(at.gallery, at.folder / "gallery")
    shutil.rmtree(copy / "rows.lance")
    Gallery.open(copy)


def of_another(at: At, *names: str) -> None:
    at.new(options=replace(at.small, size=(96, 96)), dtype="int8")
    copy = shutil.copytree(at.gallery, at.folder / "gallery")
    for name in names:
        shutil.copy(at.folder / "g" / name, copy)
    Gallery.open(copy)


EXACT = Protocol.parse("exact")
WIDE = ArrayRows(np.zeros((2, 400_000), np.float32))
VECTORS = np.ones((1, 6), np.float32)
NONE_CAN = Statistics((0, 0, 0), (2, 2, 2))

# the call, the words, and the parameter the error names, from which the command line makes its option
MESSAGES = {
    # descriptors
    "model": (
        lambda at: Descriptor.load("efficientnet_lite"),
        "unknown model 'efficientnet_lite'; did you mean ... efficientnet_lite0",
    ),
    "layer": (lambda at: Descriptor.load("hog@cell"), "unknown layer 'cell'; did you mean cells"),
    "pooling": (lambda at: Descriptor.load("hog:mean"), "unknown pooling 'mean'"),
    "two poolings": (lambda at: Descriptor.load("hog:avg+max"), "has one pooling"),
    "file": (lambda at: Descriptor.load("nowhere.safetensors"), "no descriptor file nowhere.safetensors"),
    "size": (
        lambda at: Descriptor.load("crossband512", by_hand(size=(224, 224))),
        "crossband512 was trained on images of 320x320",
    ),
    "write": (lambda at: at.hog.save(at.file() / "d.safetensors"), "cannot write ... d.safetensors", "out"),
    "mean": (
        lambda at: Finish({Band.TIR: np.zeros(5)})(VECTORS, Band.NIR),
        "no mean of the band nir ... there is tir",
        "calibrate",
    ),
    "mean, width": (
        lambda at: Finish({Band.TIR: np.ones(4, np.float32)})(VECTORS, Band.TIR),
        "the mean of the band tir has 4 ... 6",
    ),
    "axes, width": (
        lambda at: Finish(axes=np.ones((4, 2), np.float32))(VECTORS, Band.TIR),
        "axes are of 4 ... 6",
    ),
    # the cache
    "float16": (lambda at: DescriptorStore(at.folder, "m").add("a", np.array([7e4])), "float16"),
    "store": (
        lambda at: DescriptorStore(at.file() / "store", "m"),
        "cannot write the store",
        "store",
    ),
    # what is compared
    "one band": (lambda at: directions(at.only("rgb"), "all", "all", EXACT), "only the band rgb"),
    "band nobody has": (
        lambda at: directions(at.only("rgb"), "rgb", "tir", EXACT),
        "no frames have the band tir",
    ),
    "band": (lambda at: directions(at.pairs, "rgb", "thermal", EXACT), "unknown band 'thermal'"),
    "one frame": (lambda at: directions(at.pairs.select([0]), "rgb", "tir", EXACT), "at least two"),
    "itself": (lambda at: directions(at.pairs, "rgb", "rgb", EXACT), "only find itself"),
    "embed, band": (lambda at: embed(at.only("rgb"), at.hog, ["nir"], store=at.store), "have the band nir"),
    "embed, blind": (blind, "no tir image can be used: ... 0000.png: not an image"),
    "embed, units": (
        lambda at: embed(
            at.pairs,
            Descriptor.load("hog", replace(at.small, normalization={"tir": "kelvin:260:320"})),
            store=at.store,
        ),
        "no tir image can be used: ... units",
        "units",
    ),
    "benchmark, protocol": (lambda at: at.benchmark(protocol="nearby"), "unknown protocol 'nearby'"),
    "benchmark, place": (lambda at: at.benchmark(protocol="place"), "'place'"),
    "benchmark, split": (
        lambda at: at.benchmark(frames=at.pairs.assign(split=["query"] * 3 + ["gallery"] * 3)),
        "no query has a positive",
    ),
    "benchmark, re-ranking": (
        lambda at: at.benchmark(query="rgb", gallery="tir", rerank=-1),
        "-1 items cannot be re-ranked",
    ),
    "robustness": (
        lambda at: robustness(
            at.pairs.assign(place=["a", "b"] * 3),
            ["hog"],
            "rgb",
            "rgb",
            store=at.store,
            protocol="place",
            options=at.small,
        ),
        "rgb is both",
        "query",
    ),
    "explain, query": (
        lambda at: explain(
            at.pairs, ["hog"], queries=["3003"], store=at.store, options=at.small, masks=None, projections=()
        ),
        "unknown query '3003'; did you mean",
    ),
    "explain, direction": (
        lambda at: explain(
            at.pairs, ["hog"], "all", "all", store=at.store, options=at.small, masks=None, projections=()
        ),
        "one direction between two bands",
    ),
    "masks": (lambda at: Masks(200).corners((128, 128)), "do not fit an image of 128x128; choose"),
    "projection": (lambda at: project(np.eye(5), "tsnee"), "unknown projection 'tsnee'; did you mean tsne"),
    "projection, few": (lambda at: project(np.eye(3), "pca"), "four descriptors"),
    # fitting and searching
    "fit, few": (
        lambda at: principal_axes(np.eye(8, 20, dtype=np.float32), 8),
        "more than 8 images ... there are 8 images of 20",
    ),
    "fit, flat": (
        lambda at: principal_axes(np.ones((50, 20), np.float32), 4),
        "ask for fewer axes",
    ),
    "fit, set": (
        lambda at: fit_descriptor([at.pairs], at.hog, 40, store=at.store),
        "there are 18; give more",
    ),
    "memory": (lambda at: parse_memory("much"), "write 512M", "max_memory"),
    "memory, small": (lambda at: exact_search(WIDE, WIDE, 1, 1 << 20), "give at least 13M", "max_memory"),
    "memory, gram": (lambda at: gram_matrix(WIDE, 1 << 20), "400000 ... give at least 13M", "max_memory"),
    "widths": (
        lambda at: exact_search(ArrayRows(np.zeros((1, 3))), ArrayRows(np.zeros((1, 4))), 1),
        "queries have 3 dims, the gallery has 4",
    ),
    # galleries
    "k": (lambda at: search(at.image, at.gallery, 0), "k is at least 1", "k"),
    "where": (
        lambda at: search(at.image, at.gallery, where="color = 'red'"),
        "is no condition on key, frame, band",
        "where",
    ),
    "where, nothing": (
        lambda at: search(at.image, at.gallery, where="camera = 'west'"),
        "no item ... camera = 'west'",
        "where",
    ),
    "query, width": (
        lambda at: Gallery.open(at.gallery).nearest(np.ones(3, np.float32)),
        "got 3",
    ),
    "query, calibration": (
        lambda at: search(at.image, at.gallery, calibrate=at.folder),
        "no images in",
    ),
    "query, frame": (lambda at: query_image("0003", "tir"), "no image 0003", "frames"),
    "query, frame of a manifest": (
        lambda at: query_image("003", "tir", at.pairs.write(at.folder / "f.parquet")),
        "unknown frame '003'; did you mean ... 0003",
    ),
    "gallery": (lambda at: Gallery.open(at.folder), "no gallery at"),
    "gallery, rows": (lambda at: LanceStore(at.folder / "nothing"), "cannot open a gallery at"),
    "gallery, rows gone": (without_rows, "cannot open a gallery at"),
    "gallery, empty": (emptied, "is empty; crossband index fills it"),
    "gallery, no name": (
        lambda at: index(at.pairs, "", "hog", options=at.small, store=at.store),
        "name one",
        "gallery",
    ),
    "gallery, file": (lambda at: at.new(folder=at.file() / "g"), "cannot write"),
    "gallery, twice": (
        lambda at: Gallery.create(at.gallery, at.hog, np.ones((1, 4), np.float32)),
        "holds a gallery already",
    ),
    "gallery, dtype": (
        lambda at: at.new(dtype="float64"),
        "float32, float16, int8, pq or binary, not 'float64'",
    ),
    "gallery, its dtype": (
        lambda at: at.index(dtype="int8"),
        "was made with float32, not with int8; leave the dtype out",
        "dtype",
    ),
    "gallery, its model": (
        lambda at: at.index("efficientnet_lite0@blocks.2"),
        "was made with hog, not with efficientnet_lite0@blocks.2",
    ),
    "gallery, its pooling": (lambda at: at.index("hog:avg"), "was made with hog, not with hog:avg"),
    "gallery, its size": (
        lambda at: at.index(options=by_hand(size=(64, 80))),
        "made with 64x64, not with 80x64; leave the size out",
        "size",
    ),
    "gallery, its normalization": (
        lambda at: at.index(options=by_hand(normalization={"tir": "kelvin:263:313"})),
        "not with tir=kelvin:263:313; leave the normalization out",
        "normalization",
    ),
    "gallery, its statistics": (
        lambda at: at.index(options=by_hand(statistics={Band.TIR: NONE_CAN})),
        "leave the set statistics out",
        "set_statistics",
    ),
    "gallery, two": (
        lambda at: of_another(at, "descriptor.safetensors"),
        "one of them belongs to another gallery",
    ),
    "gallery, two accounts": (
        lambda at: of_another(at, "descriptor.safetensors", "gallery.json"),
        "gallery.json says int8, the rows are float32",
    ),
    "rows, int8": (
        lambda at: LanceStore(at.folder / "r", row_schema(4, "int8")).optimize(index=True),
        "rows of int8 have no index",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(at, case):
    call, words, *parameter = MESSAGES[case]
    assert_says(lambda: call(at), words, parameter=parameter[0] if parameter else None)
