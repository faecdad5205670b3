"""What the command line says of a mistake: status 2 and one sentence; a command on the left, its words."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch

from .conftest import HOG, refused

# "pairs" and "store" stand for folders with six pairs and with their descriptors
BENCHMARK = ("benchmark", "pairs", *HOG)
FIT = ("fit", "pairs", "--model", "hog", "--size", "64x64", "--store", "store", "--out", "s.safetensors")

COMMANDS = {
    "verb": (("benchmrk",), "benchmark", "--help"),
    "search, no gallery": (("search", "a.png"), "--gallery", "--help"),
    "search, no option": (("search", "--folder", "x"), "--folder", "--help"),
    "search, k no number": (("search", "a.png", "--gallery", "g", "-k", "many"), "-k", "--help"),
    "search, gallery gone": (
        ("search", "pairs/rgb/0000.png", "--gallery", "none"),
        "no gallery at none",
        "index",
    ),
    "workers": (("benchmark", ".", "--workers", "0"), "--workers", "--help"),
    "dim": (("fit", ".", "--out", "s", "--dim", "1"), "--dim", "--help"),
    "folder without images": (
        ("benchmark", "empty", *HOG),
        "no bands recognized in empty",
        "data scan",
    ),
    "bands without images": (("benchmark", "bands", *HOG), "bands"),
    "one pair": (("benchmark", "one", *HOG), "at least two"),
    "no common stem": (("benchmark", "stems", *HOG), "stem"),
    "root": ((*BENCHMARK, "--root", "/nope"), "has no manifest", "--root"),
    "manifest gone": (
        ("benchmark", "gone.parquet", *HOG),
        "gone.parquet does not exist",
        "a folder of images or a manifest",
    ),
    "manifest of text": (("benchmark", "text.parquet", *HOG), "text.parquet is not a manifest"),
    "manifest that leaves": (("benchmark", "out.csv", *HOG), "stay inside the manifest's folder"),
    "model": (("benchmark", "pairs", "--models", "squeezenet11"), "unknown model", "squeezenet1_1"),
    "model, pattern": (("models", "resnt18"), "unknown model 'resnt18'", "resnet18"),
    "model, preset": (("models", "crosband"), "did you mean crossband"),
    "model, none": (("benchmark", "pairs", "--models", " , "), "--models is empty"),
    "layer": (("benchmark", "pairs", "--models", "hog@cell"), "unknown layer", "cells"),
    "weights nowhere": (
        ("benchmark", "pairs", "--models", "resnet18"),
        "no weights for resnet18",
        "--weights",
    ),
    "weights given": (
        ("benchmark", "pairs", "--models", "crossband", "--weights", "nowhere"),
        "nowhere",
        "--weights",
    ),
    "weights of another": (
        ("benchmark", "pairs", "--models", "resnet50", "--weights", "weights"),
        "resnet50.pth",
        "another network",
    ),
    "weights before images": (
        ("benchmark", "pairs", "--models", "timm/vit_tiny_patch16_224", "--size", "64x64"),
        "no weights for vit_tiny_patch16_224",
    ),
    "out": ((*BENCHMARK, "--out", "file/out"), "cannot write to file/out", "--out"),
    "out, robustness": (
        ("robustness", "pairs", *HOG, "--out", "file/out"),
        "cannot write to file/out",
        "--out",
    ),
    "store": ((*BENCHMARK, "--store", "file/store"), "cannot write the store", "--store"),
    "gallery is a file": (
        ("index", "pairs", "--gallery", "file", "--model", "hog", "--size", "64x64", "--store", "store"),
        "cannot write the gallery file",
    ),
    "size": (("benchmark", "pairs", "--models", "hog", "--size=320"), "--size takes WIDTHxHEIGHT", "'320'"),
    "normalize, no band": ((*BENCHMARK, "--normalize", "percentile"), "BAND=NAME"),
    "normalize, band": ((*BENCHMARK, "--normalize", "thermal=percentile"), "unknown band 'thermal'"),
    "normalize, name": ((*BENCHMARK, "--normalize", "tir=stretch"), "unknown normalization 'stretch'"),
    "normalize, limits": ((*BENCHMARK, "--normalize", "tir=kelvin:310:270"), "low < high"),
    "normalize, counts": ((*BENCHMARK, "--normalize", "tir=kelvin:270:310"), "centikelvin", "tir_units"),
    "units": ((*BENCHMARK, "--units", "kelvins"), "unknown units 'kelvins'", "kelvin"),
    "memory": ((*BENCHMARK, "--max-memory=much"), "write 512M", "--max-memory"),
    "memory, too small": (
        (*BENCHMARK, "--store", "store", "--max-memory", "1000"),
        "at least 1M",
        "--max-memory",
    ),
    "query band": ((*BENCHMARK, "--query", "thermal"), "unknown band 'thermal'", "tir"),
    "gallery band": ((*BENCHMARK, "--gallery", "thermal"), "unknown band 'thermal'", "tir"),
    "band nobody has": ((*BENCHMARK, "--gallery", "nir"), "no frames have the band nir"),
    "protocol": (
        (*BENCHMARK, "--protocol", "within"),
        "unknown protocol 'within'",
        "within:METERS",
    ),
    "protocol, column": ((*BENCHMARK, "--protocol", "place"), "'place'"),
    "query is gallery": (
        (*BENCHMARK, "--query", "rgb", "--gallery", "rgb"),
        "only find itself",
        "the protocol place",
        "--protocol",
    ),
    "too few to fit": ((*FIT, "--dim", "64"), "64 axes need more than 64 images", "there are 12"),
    "split": ((*FIT, "--split", "trian"), "no frames in split trian"),
    "demo, empty": (("demo", "--data", "empty", "--models", "hog"), "no bands recognized in empty"),
    "demo, gone": (("demo", "--data", "gone", "--models", "hog"), "gone"),
    "layout": (("simulate", "--layout", "kitti", "--out", "city"), "unknown layout 'kitti'", "coco"),
    "data root": (("reproduce", "vpr-finetuning", "--data-root", "gone"), "no folder gone", "datasets"),
    "paper": (("reproduce", "rsfnets", "--data-root", "."), "unknown paper 'rsfnets'; did you mean rsfnet"),
    "profile": (("profile", "mfnets"), "unknown model 'mfnets'; did you mean mfnet"),
    "profile, option": (("profile", "mfnet", "width=3"), "unknown option of mfnet 'width'"),
    "profile, no value": (("profile", "mfnet", "width"), "a model option is KEY=VALUE"),
    "export": (("export", "mfnet", "--out", "a.pt"), "an export is a .onnx file", "--out"),
    "segment": (("segment", "a.png", "--checkpoint", "none.safetensors"), "no image at a.png"),
    "segment, folder": (("segment-robustness", ".", "--checkpoint", "x"), "no images in the rgb folder"),
    "translate": (
        ("translate", "a.png", "--model", "m", "--out", "o.png"),
        "a.png: missing",
    ),
    "localize": (
        ("localize", "nowhere", "--map", "m", "--models", "m", "--where", "x"),
        "COLUMN=VALUE",
    ),
    "reid, box": (
        ("reid", "a.png", "--flight", "f", "--map", "m", "--models", "m", "--box", "1,2"),
        "LEFT,TOP,RIGHT,BOTTOM",
        "--box",
    ),
    "detect": (("detect", "nowhere", "--models", "m"), "no "),
    "detect, two flights": (("detect", "one", "two", "--models", "m"), "give one SOURCE"),
}


@pytest.fixture
def folders(crossband, pairs, store, tmp_path, make_pairs, monkeypatch) -> None:
    """The folder that the commands run in, with what they speak of, and no weights to be found."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "pairs").symlink_to(pairs)
    (tmp_path / "store").symlink_to(store)
    for folder in ("empty", "bands/rgb", "bands/tir", "weights"):
        (tmp_path / folder).mkdir(parents=True)
    torch.save({"w": torch.zeros(1)}, tmp_path / "weights" / "resnet50.pth")
    make_pairs(tmp_path / "one", n=1)
    make_pairs(tmp_path / "stems", n=1, bands=["rgb"])
    (tmp_path / "stems" / "tir").mkdir()
    PIL.Image.new("L", (8, 8)).save(tmp_path / "stems" / "tir" / "t0000.png")
    (tmp_path / "file").touch()
    (tmp_path / "text.parquet").write_text("text")
    pd.DataFrame([{"frame": "a", "rgb": "../../etc/passwd"}]).to_csv(tmp_path / "out.csv", index=False)


@pytest.mark.slow
@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_says(folders, crossband, case):
    arguments, *words = COMMANDS[case]
    refused(crossband(*arguments), *words)
    assert not Path("city").exists()


GALLERY = {
    "k": (("search", "image", "-k", "0"), "k is at least 1", "(-k)"),
    "where": (("search", "image", "--where", "color = 'red'"), "--where", "camera"),
    "mean": (("search", "image", "--band", "nir"), "no mean of the band nir", "--calibrate"),
    "model": (
        ("index", "pairs", "--model", "efficientnet_lite0", "--store", "store"),
        "was made with hog, not with efficientnet_lite0",
        "another gallery",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", GALLERY)
def test_a_gallery_says(crossband, gallery, pairs, store, case):
    (verb, what, *options), *words = GALLERY[case]
    folder = {"image": pairs / "rgb" / "0000.png", "pairs": pairs}[what]
    options = [store if option == "store" else option for option in options]
    refused(crossband(verb, folder, "--gallery", gallery, *options), *words)


def test_a_condition_to_delete_by_is_read_to_its_end(crossband, gallery):
    refused(crossband("gallery", "delete", gallery, "--where", "color ="), "--where", "camera")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["320x", "axb", "8x8", "0x64", "99999x64", "-64x64", "64x64x64", ""])
def test_what_is_no_size_is_repeated(crossband, pairs, size):
    refused(crossband("benchmark", pairs, "--models", "hog", f"--size={size}"), "--size", repr(size))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "not an image"),
        ("truncated", "truncated"),
        ("empty", "empty file (0 bytes)"),
        ("bomb", "decompression bomb: 65535 x 65535"),
        ("missing", "there is no image"),
        ("folder", "no images in"),
    ],
)
def test_a_query_that_is_no_image_says(crossband, gallery, tmp_path, kind, words):
    query = tmp_path / "query.png"
    if kind == "text":
        query.write_text("this is no picture")
    elif kind == "truncated":
        file = io.BytesIO()
        PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(file, "JPEG")
        query.write_bytes(file.getvalue()[:1500])
    elif kind == "empty":
        query.write_bytes(b"")
    elif kind == "bomb":
        body = b"IHDR" + struct.pack(">IIBBBBB", 65535, 65535, 8, 0, 0, 0, 0)
        query.write_bytes(
            b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
        )
    elif kind == "folder":
        query.mkdir()
    refused(crossband("search", query, "--gallery", gallery), str(query), words)


@pytest.mark.parametrize("ground", ["-1", "0", "nan", "1001"])
def test_ground_that_no_pixel_shows_is_said_in_centimeters(crossband, ground):
    words = f"--ground must be more than 0 and at most 1000 cm, not {ground}"
    refused(crossband("detect", "gone.png", "--ground", ground), words)


@pytest.mark.parametrize(
    "verb",
    [("localize", "f", "--map", "m"), ("detect", "f", "--models", "m"), ("reid", "a.png", "--flight", "f")],
)
def test_a_radius_that_holds_nothing_is_refused(crossband, verb):
    refused(crossband(*verb, "--radius", "-5"), "radius must be more than 0, not -5", "--radius")
    assert not Path("uav").exists()


def test_a_store_for_all_verbs_in_the_environment_does_not_stop_a_flight(crossband, monkeypatch):
    monkeypatch.setenv("CROSSBAND_STORE", "descriptors")
    refused(crossband("reid", "lost.jpg", "--flight", "f", "--map", "m", "--models", "n"), "lost.jpg")
    asked = ("reid", "lost.jpg", "--flight", "f", "--map", "m", "--models", "n", "--store", "mine")
    refused(crossband(*asked), "--store")
