"""The public API: what `dir` shows, what the stub says, and that each verb calls the function of its name."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import crossband
from crossband.errors import CrossbandError, MissingWeightsError, UnknownNameError

STUB = ast.parse(Path(crossband.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
WANTED = [
    *("Band", "Descriptor", "Frames", "Gallery", "Options", "__version__", "benchmark", "check_frames"),
    *("create_model", "demo", "detect", "embed", "evaluate", "explain", "export", "fit_descriptor", "index"),
    *("list_datasets", "list_models", "localize", "open_frames", "profile", "read_image", "reid", "reproduce"),
    *("robustness", "scan", "search", "segment", "segmentation_robustness", "simulate", "train", "translate"),
    *("CrossbandError", "DamagedFileError", "ImageFault", "MissingExtraError", "MissingWeightsError"),
    "UnknownNameError",
]

# verb -> the function it calls, and the verb's parameters that are named otherwise there
VERBS = {
    "demo": ("demo", {}),
    "simulate": ("simulate", {}),
    "benchmark": ("benchmark", {"source": "frames"}),
    "robustness": ("robustness", {"source": "frames"}),
    "explain": ("explain", {"source": "frames", "frame": "queries", "window": "masks", "stride": "masks"}),
    "index": ("index", {"source": "frames", "band": "bands"}),
    "search": ("search", {}),
    "train": ("train", {}),
    "evaluate": ("evaluate", {}),
    "reproduce": ("reproduce", {"row": "rows", "training": "mode"}),
    "reid": ("reid", {}),
    "segment": ("segment", {}),
    "segment-robustness": (
        "segmentation_robustness",
        {"source": "frames", "checkpoint": "checkpoints", "split": "frames"},
    ),
    "profile": ("profile", {"form": "forms", "batch": "batch_size"}),
    "export": ("export", {}),
    "translate": ("translate", {}),
    "localize": ("localize", {}),
    "detect": ("detect", {"ground": "meters"}),
    "fit": ("fit_descriptor", {"sources": "sets", "split": "sets"}),
}
# what a verb does with its text or its result, and what it gathers into Options
SHOWN = {"as_json", "strip", "root", "rig", "csv", "units", "set_statistics", "likely", "count"}
PARSED = {"size", "max_memory", "models", "bands", "forms", "mode", "masks", "projections"}  # text in a verb
OPTIONS = {"size", "normalize", "weights", "device", "view", "turn"}
# a verb that reads two kinds of sources, each by its own function; what to write where depends on the kind
BOTH = {"detect": "crossband.uav.pictures.detect_pictures"}


def verbs():
    import typer

    from crossband.cli import app

    return typer.main.get_command(app).commands


def test_dir_shows_the_public_names_and_no_others():
    assert sorted(WANTED) == sorted(dir(crossband)) == sorted(crossband.__all__)


def test_the_stub_names_what_is_there_at_runtime():
    named = {alias.asname for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert named | {"__version__"} == set(crossband.__all__)
    for node in STUB.body:
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(f"crossband.{node.module}")
            for alias in node.names:
                assert getattr(module, alias.name) is getattr(crossband, alias.asname)


def test_import_costs_nothing():
    code = "import crossband, sys; dir(crossband); print({'torch', 'pandas', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["reid", "profile", "export", "demo"])
def test_a_function_keeps_its_name_when_a_module_of_that_name_is_imported(name):
    importlib.import_module(f"crossband.{name}")
    assert inspect.isfunction(getattr(crossband, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = crossband.nothing_like_it


def test_the_version_is_written_once():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "crossband.__version__"


@pytest.mark.parametrize("name", sorted(set(WANTED) - {"__version__"}))
def test_every_public_name_says_what_it_is_for(name):
    assert (inspect.getdoc(getattr(crossband, name)) or "").strip()


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_the_parameters_of_its_function(verb):
    name, called = VERBS[verb]
    there = set(inspect.signature(getattr(crossband, name)).parameters)
    if verb in BOTH:
        module, _, other = BOTH[verb].rpartition(".")
        there |= set(inspect.signature(getattr(importlib.import_module(module), other)).parameters)
    missing = []
    for option in verbs()[verb].params:
        own = called.get(option.name.rstrip("_"), option.name.rstrip("_"))
        written = own == "out" and hasattr(crossband, name) and own not in there  # verbs write their results
        gathered = (own in OPTIONS and "options" in there) or (own == "address" and "engine" in there)
        fetched = verb == "search" and own == "frames"
        if own not in there and own not in SHOWN and not written and not gathered and not fetched:
            missing.append(own)
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_and_its_function_have_the_same_defaults(verb):
    name, called = VERBS[verb]
    there = inspect.signature(getattr(crossband, name)).parameters
    for option in verbs()[verb].params:
        own = called.get(option.name.rstrip("_"), option.name.rstrip("_"))
        if own in there and own not in {
            "size",
            "max_memory",
            "models",
            "bands",
            "forms",
            "mode",
            "masks",
            "projections",
        }:
            default, here = there[own].default, option.default
            if own == "out" and None in (default, here):  # a function returns what a verb has to write
                continue
            if verb in BOTH and here is None:  # each function has its own
                continue
            empty = (None, (), [], inspect.Parameter.empty)
            both = (default in empty and (here in empty or option.required)) or str(default) == str(here)
            assert both or own in {"options", "overrides", "data_root"}, (own, default, here)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("crossband", "DescriptorNetwork"),
        ("crossband512", "DescriptorNetwork"),
        ("hog", "Encoder"),
        ("efficientnet_lite0", "Encoder"),
        ("efficientnet_lite0@blocks.4:avg5s3+center", "DescriptorNetwork"),
        ("mfnet", "MFNet"),
    ],
)
def test_create_model_gives_a_network_with_its_digest(name, kind):
    network = crossband.create_model(name)
    assert isinstance(network, torch.nn.Module)
    assert type(network).__name__ == kind
    assert not network.training
    assert isinstance(network.digest, str)
    assert len(network.digest) == (0 if name in ("hog", "mfnet") else 64)


@pytest.mark.slow
def test_the_module_of_a_descriptor_makes_the_vectors_of_the_descriptor():
    network = crossband.create_model("crossband512")
    descriptor = crossband.Descriptor.load("crossband512", crossband.Options(device="cpu"))
    images = torch.rand(2, 3, *descriptor.preprocess.size)
    wanted = descriptor.finish(None)(descriptor.pooled(images).numpy(), crossband.Band.TIR)
    np.testing.assert_allclose(network(images, "tir").numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("resnt18", UnknownNameError, "resnet18"),
        ("crosband", UnknownNameError, "crossband"),
        ("gone.safetensors", MissingWeightsError, r"gone\.safetensors"),
    ],
)
def test_a_model_nobody_knows_is_named(name, error, said):
    with pytest.raises(error, match=said):
        crossband.create_model(name)


def test_every_listed_kind_is_there():
    tasks = {info.task for info in crossband.list_models()}
    assert {"segmentation", "retrieval across bands"} < tasks


@pytest.fixture
def measured(make_pairs, tmp_path, monkeypatch):
    """A benchmark with the defaults of the library; its store is in the user's cache."""
    monkeypatch.setenv("CROSSBAND_CACHE", str(tmp_path / "cache"))
    frames = crossband.scan(make_pairs(tmp_path / "set", n=4))
    options = crossband.Options(size=(64, 64), device="cpu")
    return crossband.benchmark(frames, "hog", "rgb", "tir", options=options)


def test_without_a_store_descriptors_are_in_the_users_cache(measured, tmp_path):
    assert any((tmp_path / "cache" / "descriptors").iterdir())


def test_a_model_is_a_name_or_a_descriptor(measured):
    hog = crossband.Descriptor.load("hog", crossband.Options(size=(64, 64), device="cpu"))
    again = crossband.benchmark(measured.frames, [hog], "rgb", "tir")
    assert [run.recall for run in again.runs] == [run.recall for run in measured.runs]


@pytest.mark.slow
def test_a_result_is_a_table_json_a_plot_and_a_report(measured, tmp_path):
    assert json.loads(measured.to_json(tmp_path / "r.json")) == json.loads((tmp_path / "r.json").read_text())
    assert len(measured.to_pandas()) == len(measured.runs) == 1
    assert len(repr(measured).splitlines()) < 15
    assert "<table" in measured._repr_html_()
    measured.plot().savefig(tmp_path / "recall.png")
    with PIL.Image.open(tmp_path / "recall.png") as picture:
        assert min(picture.size) > 100
    assert measured.report(tmp_path / "out").name == "report.html"


@pytest.mark.slow
def test_a_gallery_is_searched_by_paths_arrays_and_pictures(measured, tmp_path):
    frames = measured.frames
    options = crossband.Options(size=(64, 64), device="cpu")
    crossband.index(frames, tmp_path / "g", "hog", "tir", options=options)
    gallery = crossband.Gallery.open(tmp_path / "g", options)
    path = frames.paths("rgb")[2]
    pixels = crossband.read_image(path).pixels
    results = [gallery.search(one, k=2) for one in (path, pixels, PIL.Image.open(path))]
    assert [[match.frame for match in found] for found in results] == [[m.frame for m in results[0]]] * 3
    many = gallery.search(frames.paths("rgb"), k=1)
    assert [match.frame for match in many] == list(frames.names)
    assert list(many.to_pandas()["query"]) == [str(p) for p in frames.paths("rgb")]
    many.plot().savefig(tmp_path / "m.png")
    assert (many.report(tmp_path / "found") / "matches.jpg").is_file()
    assert crossband.search(path, tmp_path / "g", k=2, options=options).to_dict()["queries"][0]["query"] == str(
        path
    )


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3, 4, 5), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((4, 4), bool)]
)
def test_an_array_that_is_no_image_is_refused(array):
    from crossband.io import as_image

    with pytest.raises(CrossbandError, match="no image"):
        as_image(array)


@pytest.mark.slow
def test_no_message_of_the_library_names_an_option_of_the_command_line():
    found, options = [], option_names()
    for file in sorted(Path(crossband.__file__).parent.rglob("*.py")):
        if {"cli", "server"} & set(file.parts):  # a server is only ever started by its command
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                inside = f" {node.value}"
                found += [f"{file.name}: {node.value}" for name in options if f" {name}" in inside]
    assert not found


def option_names() -> set[str]:
    groups = list(verbs().values())
    commands = [c for group in groups for c in getattr(group, "commands", {"": group}).values()]
    return {
        opt for command in commands for param in command.params for opt in param.opts if opt.startswith("--")
    }
