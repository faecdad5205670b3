"""The command line: results on standard output, and one sentence with status 2 for a user's mistake."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
import typer

from crossband import __version__, cli

HOG = ("--models", "hog", "--size", "64x64")


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def crossband(monkeypatch, capsys, tmp_path) -> Run:
    """Runs a command in this process, in a folder of its own, offline."""
    for name in ("CROSSBAND_WEIGHTS", "CROSSBAND_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["crossband", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Done(int(caught.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, make_pairs) -> Path:
    """Six pairs. Not to be changed."""
    return make_pairs(tmp_path_factory.mktemp("set") / "pairs", n=6)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def gallery(crossband, pairs, store) -> Path:
    """A gallery of the thermal images, in the folder the commands run in."""
    done = crossband(
        "index", pairs, "--gallery", "g", "--model", "hog", "--band", "tir", "--size", "64x64", "--store", store
    )
    assert done.status == 0, done.err
    return Path("g")


def refused(done: Done, *parts: str) -> None:
    """Status 2, nothing on standard output, and one sentence on standard error that holds all parts."""
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("crossband: ")
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err, done.err


def verbs() -> list[tuple[str, ...]]:
    group = typer.main.get_command(cli.app)
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [(name, verb) for verb in inner] if inner else [(name,)]
    return found


# --- help


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_every_verb_explains_itself_with_an_example_of_its_own(crossband, verb):
    done = crossband(*verb, "--help")
    assert done.status == 0
    assert f"Example: crossband {' '.join(verb)}" in " ".join(done.out.split())


def test_help_and_version_import_neither_torch_nor_pandas():
    script = (
        "import sys; from crossband import cli\n"
        "sys.argv = ['crossband', *sys.argv[1:]]\n"
        "try: cli.main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'pandas', 'timm', 'lancedb', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for arguments in (["--help"], ["benchmark", "--help"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_the_installed_command_runs():
    for command in ([Path(sys.executable).with_name("crossband")], [sys.executable, "-m", "crossband"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert done.stdout == f"{__version__}\n"


# --- what the verbs give


def test_benchmark_prints_a_table_and_writes_three_files(crossband, pairs, store):
    done = crossband(
        "benchmark", pairs, *HOG, "--query", "rgb", "--gallery", "tir", "--out", "out", "--store", store
    )
    assert done.status == 0, done.err
    assert "hog" in done.out
    assert done.err == ""
    assert {path.name for path in Path("out").iterdir()} == {"results.json", "results.csv", "report.html"}
    assert len(json.loads(Path("out/results.json").read_text())["runs"]) == 1


def test_benchmark_prints_the_json_it_writes(crossband, pairs, store):
    done = crossband("benchmark", pairs, *HOG, "--store", store, "--json")
    printed = json.loads(done.out)
    assert printed == json.loads(Path("crossband-out/results.json").read_text())
    assert {(r["query_band"], r["gallery_band"]) for r in printed["runs"]} == {("rgb", "tir"), ("tir", "rgb")}
    assert {tuple(run["size"]) for run in printed["runs"]} == {(64, 64)}


def test_size_is_width_by_height(crossband, pairs, store):
    done = crossband(
        "benchmark", pairs, "--models", "hog", "--size", "96x64", "--store", store, "--no-misaligned", "--json"
    )
    printed = json.loads(done.out)
    assert printed["runs"][0]["size"] == [64, 96]
    assert printed["runs"][0]["descriptor_dim"] == 8 * 4 * 6


def test_options_of_reading_change_what_is_read(crossband, pairs, store):
    for options in (
        ("--normalize", "tir=kelvin:270:310", "--units", "centikelvin"),
        ("--set-statistics",),
        ("--max-memory", "1M", "--workers", "1", "--device", "cpu"),
    ):
        done = crossband("benchmark", pairs, *HOG, "--store", store, "--no-misaligned", "--json", *options)
        assert done.status == 0, done.err
        assert json.loads(done.out)["runs"][0]["recall"]["1"] > 50


@pytest.mark.parametrize("name", ["[/b]", "[red]a", "a[1]"])
def test_brackets_of_a_name_are_printed_as_they_stand(crossband, capsys, name):
    cli._printing.print_table(pd.DataFrame([{"[bold]": name}]))
    assert ["[bold]", name] == [line for line in capsys.readouterr().out.split() if "─" not in line]


def test_what_a_terminal_cannot_show_is_escaped(tmp_path, make_pairs):
    make_pairs(tmp_path / "a\udcff", n=1)
    script = "import sys; from crossband.cli import main; sys.argv[1:] = ['data', 'scan', 'a\\udcff']; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"a\\udcff/frames.parquet: 1 frames")


def test_a_configuration_measured_on_the_set_can_be_indexed_fitted_and_moved(crossband, pairs, store):
    own = (*HOG[2:], "--store", store, "--set-statistics")
    assert crossband("index", pairs, "--gallery", "g", "--model", "hog", *own).status == 0
    metadata = json.loads(crossband("gallery", "info", "g", "--json").out)
    means = [mean for mean, _ in metadata["preprocess"]["statistics"].values()]
    assert means[0] != means[2]
    fitting = crossband("fit", pairs, pairs, "--out", "f.safetensors", "--model", "hog", "--dim", 4, *own)
    assert fitting.status == 0, fitting.err
    moved = crossband("robustness", pairs, "--models", "hog", "--query", "rgb", "--gallery", "tir", *own)
    assert moved.status == 0, moved.err


def test_demo_writes_a_report_of_the_data_it_is_given(crossband, pairs):
    done = crossband("demo", "--data", pairs, "--out", "demo", "--models", "hog")
    assert done.status == 0, done.err
    assert Path("demo/report.html").is_file()
    assert "report.html" in done.out


def test_demo_makes_its_own_data_when_there_is_none(crossband, monkeypatch):
    monkeypatch.setattr("crossband.demo._FRAMES", 4)
    monkeypatch.setattr("crossband.demo._SIZE", (64, 48))
    done = crossband("demo", "--out", "demo", "--models", "hog")
    assert done.status == 0, done.err
    assert {"city", "report.html", "results.json"} <= {path.name for path in Path("demo").iterdir()}


def test_robustness_writes_its_curves(crossband, pairs, store):
    done = crossband(
        "robustness",
        pairs,
        *HOG,
        "--query",
        "rgb",
        "--gallery",
        "tir",
        "--store",
        store,
        "--out",
        "out",
        "--json",
    )
    assert done.status == 0, done.err
    assert {point["kind"] for point in json.loads(done.out)} == {"shift", "scale", "rotate"}
    assert Path("out/robustness.png").is_file()


def test_fit_writes_a_descriptor_that_stands_where_a_name_can(crossband, pairs, store):
    done = crossband(
        "fit",
        pairs,
        "--model",
        "hog",
        "--dim",
        "5",
        "--size",
        "64x64",
        "--store",
        store,
        "--out",
        "s.safetensors",
    )
    assert done.status == 0, done.err
    assert "5 dims, fitted on 12 images" in done.out
    done = crossband("benchmark", pairs, "--models", "s.safetensors", "--store", store, "--json")
    assert json.loads(done.out)["runs"][0]["descriptor_dim"] == 5


def test_index_search_delete_info_and_optimize_work_on_one_gallery(crossband, pairs, gallery):
    done = crossband("search", pairs / "rgb" / "0002.png", "--gallery", gallery, "-k", "3", "--json")
    assert done.err == ""
    matches = json.loads(done.out)
    assert [match["rank"] for match in matches] == [1, 2, 3]
    assert matches[0]["frame"] == "0002"
    assert Path(matches[0]["path"]).is_file()
    assert json.loads(crossband("gallery", "info", gallery, "--json").out)["items"] == 6
    assert "1 deleted" in crossband("gallery", "delete", gallery, "--where", "frame = '0002'").out
    again = crossband("search", pairs / "rgb" / "0002.png", "--gallery", gallery, "--json")
    assert json.loads(again.out)[0]["frame"] != "0002"
    done = crossband("gallery", "optimize", gallery)
    assert (done.out, done.err) == ("g: 5 items\n", "")


def test_index_says_what_it_added_and_what_it_left_out(crossband, tmp_path, make_pairs):
    root = make_pairs(tmp_path / "set", n=4)
    (root / "tir" / "0001.png").write_bytes(b"")
    done = crossband("index", root, "--gallery", "g", "--model", "hog", "--size", "64x64", "--json")
    assert done.status == 0
    metadata = json.loads(done.out)
    assert (metadata["added"], metadata["unchanged"], len(metadata["left_out"])) == (7, 0, 1)
    assert "left out: " in done.err
    assert "7 unchanged" in crossband("index", root, "--gallery", "g").out


def test_search_takes_a_frame_of_a_manifest_and_draws_a_strip(crossband, pairs, gallery):
    done = crossband(
        "search",
        "0003",
        "--frames",
        pairs,
        "--band",
        "rgb",
        "--gallery",
        gallery,
        "--strip",
        "s.jpg",
        "-k",
        "2",
    )
    assert done.status == 0, done.err
    assert "0003" in done.out
    with PIL.Image.open("s.jpg") as picture:
        assert picture.width > 500


def test_models_gives_the_promised_fields(crossband):
    found = json.loads(crossband("models", "--json").out)
    promised = {"name", "task", "params_m", "dim", "license", "source", "weights", "size"}
    assert all(set(entry) == promised for entry in found)
    assert {entry["name"]: entry["weights"] for entry in found}["efficientnet_lite0"] == "here"


def test_models_cuts_parameters_to_two_decimals_as_the_paper_does(crossband):
    assert "58.14" in crossband("models", "resnet152").out  # 58.1438
    assert "2.46" in crossband("models", "alexnet").out  # 2.4697


def test_datasets_and_manifests_are_json_too(crossband, pairs):
    named = {entry["name"] for entry in json.loads(crossband("datasets", "--json").out)}
    assert {"llvip", "m3fd", "roadscene", "boson_nighttime", "flir_adas", "ino", "vot_rgbt", "vtuav"} <= named
    assert "6 frames" in crossband("data", "scan", pairs, "--out", "f.csv").out
    done = crossband("data", "check", "f.csv", "--json")
    assert (done.status, json.loads(done.out)["faults"]) == (0, [])


def test_data_check_lists_faults_and_ends_with_status_2(crossband, tmp_path, make_pairs):
    root = make_pairs(tmp_path / "set", n=3)
    (root / "rgb" / "0001.png").write_bytes(b"")
    done = crossband("data", "check", root, "--json")
    assert done.status == 2
    assert json.loads(done.out)["faults"][0]["kind"] == "unreadable"
    assert done.err.count("\n") == 1


def test_a_run_over_a_faulty_set_says_what_it_left_out_and_succeeds(crossband, tmp_path, make_pairs):
    root = make_pairs(tmp_path / "set", n=6)
    (root / "rgb" / "0001.png").write_bytes(b"")
    done = crossband("benchmark", root, *HOG, "--json")
    assert done.status == 0
    assert done.err == f"left out: {root}/rgb/0001.png: empty file (0 bytes)\n"
    assert json.loads(done.out)["left_out"][0]["reason"] == "empty file (0 bytes)"


# --- bad input: status 2 and one sentence


def test_bad_an_empty_folder(crossband, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(crossband("benchmark", "empty", *HOG), "no bands recognized in empty", "--rgb DIR --tir DIR")


def test_bad_empty_band_folders(crossband, tmp_path):
    for band in ("rgb", "tir"):
        (tmp_path / "set" / band).mkdir(parents=True)
    refused(crossband("benchmark", "set", *HOG), "set")


def test_bad_folders_with_no_common_stem(crossband, tmp_path, make_pairs):
    root = make_pairs(tmp_path / "set", n=3)
    for path in (root / "tir").iterdir():
        path.rename(path.with_name(f"t{path.name}"))
    refused(crossband("benchmark", root, *HOG), "stem")


@pytest.mark.parametrize("kind", ["text", "truncated", "empty", "bomb", "missing", "folder"])
def test_bad_query_images(crossband, gallery, tmp_path, kind):
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
    said = {
        "text": "not an image",
        "truncated": "truncated",
        "empty": "empty file (0 bytes)",
        "bomb": "decompression bomb: 65535 x 65535",
        "missing": "missing",
        "folder": "not a file",
    }
    refused(crossband("search", query, "--gallery", gallery), str(query), said[kind])


def test_bad_a_single_pair(crossband, tmp_path, make_pairs):
    refused(crossband("benchmark", make_pairs(tmp_path / "set", n=1), *HOG), "at least two")


def test_bad_query_equal_to_gallery(crossband, pairs):
    done = crossband("benchmark", pairs, *HOG, "--query", "rgb", "--gallery", "rgb")
    refused(done, "only find itself", "--protocol place")


def test_bad_an_unknown_model(crossband, pairs):
    refused(crossband("benchmark", pairs, "--models", "squeezenet11"), "unknown model", "squeezenet1_1")


def test_bad_a_pattern_of_no_model(crossband):
    refused(crossband("models", "resnt18"), "unknown model 'resnt18'", "resnet18")
    refused(crossband("models", "crosband"), "did you mean crossband")


def test_models_shows_the_encoder_of_a_preset(crossband):
    assert json.loads(crossband("models", "crossband", "--json").out)[0]["name"] == "efficientnet_lite0"


@pytest.mark.parametrize("arguments", [("x" * 5000,), (".", "--models", "x" * 5000)])
def test_bad_names_too_long_for_a_file(crossband, pairs, monkeypatch, arguments):
    monkeypatch.chdir(pairs)
    done = crossband("benchmark", *arguments, "--out", "../out")
    refused(done)
    assert len(done.err) < 1000


def test_a_leftover_error_of_a_file_is_one_sentence(crossband, monkeypatch):
    def stumble(*_: object) -> None:
        raise IsADirectoryError(21, "Is a directory", "out/results.json")

    monkeypatch.setattr("crossband.datasets.open_frames", stumble)
    refused(crossband("benchmark", "."), "out/results.json: Is a directory")


def test_bad_a_root_for_a_folder_without_manifest(crossband, pairs):
    refused(crossband("benchmark", pairs, *HOG, "--root", "/nope"), "has no manifest", "--root")


def test_bad_an_unknown_layer(crossband, pairs):
    refused(crossband("benchmark", pairs, "--models", "hog@cell"), "unknown layer", "cells")


def test_bad_missing_weights_without_a_network(crossband, pairs, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    refused(crossband("benchmark", pairs, "--models", "resnet18"), "no weights for resnet18", "--weights")


def test_bad_weights_that_are_not_there(crossband, pairs):
    refused(
        crossband("benchmark", pairs, "--models", "crossband", "--weights", "nowhere"), "nowhere", "--weights"
    )


def test_bad_weights_of_another_network(crossband, pairs, tmp_path):
    torch.save({"w": torch.zeros(1)}, tmp_path / "resnet18.pth")
    refused(
        crossband("benchmark", pairs, "--models", "resnet18", "--weights", "."),
        "resnet18.pth",
        "a different network",
    )


@pytest.mark.parametrize("verb", ["benchmark", "robustness"])
def test_bad_an_output_folder_that_cannot_be_written(crossband, pairs, tmp_path, verb):
    (tmp_path / "file").touch()
    refused(crossband(verb, pairs, *HOG, "--out", "file/out"), "cannot write to file/out", "--out")


def test_bad_a_store_that_cannot_be_written(crossband, pairs, tmp_path):
    (tmp_path / "file").touch()
    refused(crossband("benchmark", pairs, *HOG, "--store", "file/store"), "cannot write the cache", "--store")


def test_bad_a_gallery_made_by_another_model(crossband, pairs, gallery, store):
    done = crossband("index", pairs, "--gallery", gallery, "--model", "efficientnet_lite0", "--store", store)
    refused(done, "was made with hog, not with efficientnet_lite0", "--gallery")


def test_bad_no_gallery(crossband, pairs):
    refused(crossband("search", pairs / "rgb" / "0000.png", "--gallery", "none"), "no gallery at none", "index")


def test_bad_a_gallery_where_a_file_is(crossband, pairs, tmp_path, store):
    (tmp_path / "file").touch()
    done = crossband("index", pairs, "--gallery", "file", "--model", "hog", "--size", "64x64", "--store", store)
    refused(done, "cannot write the gallery file")


@pytest.mark.parametrize("size", ["320", "320x", "axb", "8x8", "0x64", "99999x64", "-64x64", "64x64x64", ""])
def test_bad_sizes(crossband, pairs, size):
    refused(crossband("benchmark", pairs, "--models", "hog", f"--size={size}"), "--size takes", repr(size))


def test_bad_a_size_the_network_cannot_take(crossband, pairs, tmp_path, store):
    done = crossband(
        "benchmark", pairs, "--models", "timm/vit_tiny_patch16_224", "--size", "64x64", "--store", store
    )
    refused(done, "no weights for vit_tiny_patch16_224")  # said before any image is read


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("percentile", "BAND=NAME"),
        ("thermal=percentile", "unknown band 'thermal'"),
        ("tir=stretch", "unknown normalization 'stretch'"),
        ("tir=kelvin:310:270", "low < high"),
    ],
)
def test_bad_normalizations(crossband, pairs, given, said):
    refused(crossband("benchmark", pairs, *HOG, "--normalize", given), said)


def test_bad_kelvin_on_counts(crossband, pairs):
    refused(crossband("benchmark", pairs, *HOG, "--normalize", "tir=kelvin:270:310"), "--units centikelvin")


def test_bad_units(crossband, pairs):
    refused(crossband("benchmark", pairs, *HOG, "--units", "kelvins"), "unknown units 'kelvins'", "kelvin")


@pytest.mark.parametrize("memory", ["much", "-2G", "inf", "0"])
def test_bad_sizes_of_memory(crossband, pairs, store, memory):
    done = crossband("benchmark", pairs, *HOG, "--store", store, f"--max-memory={memory}")
    refused(done, "--max-memory 512M")


def test_bad_a_memory_too_small(crossband, pairs, store):
    refused(
        crossband("benchmark", pairs, *HOG, "--store", store, "--max-memory", "1000"),
        "at least --max-memory 1M",
    )


@pytest.mark.parametrize("option", ["--query", "--gallery"])
def test_bad_bands(crossband, pairs, option):
    refused(crossband("benchmark", pairs, *HOG, option, "thermal"), "unknown band 'thermal'", "tir")


def test_bad_a_band_the_frames_lack(crossband, pairs):
    refused(crossband("benchmark", pairs, *HOG, "--gallery", "nir"), "no frames have the band nir")


def test_bad_a_band_of_a_query_whose_mean_the_gallery_lacks(crossband, pairs, gallery):
    done = crossband("search", pairs / "rgb" / "0000.png", "--gallery", gallery, "--band", "nir")
    refused(done, "the band nir cannot be centered", "--calibrate")


@pytest.mark.parametrize("protocol", ["nearby", "within", "within:far"])
def test_bad_protocols(crossband, pairs, protocol):
    done = crossband("benchmark", pairs, *HOG, "--protocol", protocol)
    refused(done, f"unknown protocol {protocol!r}", "within:METERS")


def test_bad_a_protocol_whose_column_is_missing(crossband, pairs):
    refused(crossband("benchmark", pairs, *HOG, "--protocol", "place"), "'place'")


@pytest.mark.parametrize("k", ["0", "-3"])
def test_bad_k(crossband, pairs, gallery, k):
    refused(
        crossband("search", pairs / "rgb" / "0000.png", "--gallery", gallery, "-k", k), "-k must be at least 1"
    )


def test_bad_conditions(crossband, pairs, gallery):
    query = pairs / "rgb" / "0000.png"
    refused(crossband("search", query, "--gallery", gallery, "--where", "color = 'red'"), "--where", "camera")
    refused(crossband("gallery", "delete", gallery, "--where", "color ="), "--where", "camera")


def test_bad_a_missing_manifest(crossband):
    refused(
        crossband("benchmark", "gone.parquet", *HOG),
        "gone.parquet does not exist",
        "a folder of images or a manifest",
    )


def test_bad_a_manifest_that_is_none(crossband, tmp_path):
    (tmp_path / "f.parquet").write_text("text")
    refused(crossband("benchmark", "f.parquet", *HOG), "f.parquet is not a manifest")


def test_bad_a_manifest_that_leaves_its_folder(crossband, tmp_path):
    pd.DataFrame([{"frame": "a", "rgb": "../../etc/passwd"}]).to_csv(tmp_path / "f.csv", index=False)
    refused(crossband("benchmark", "f.csv", *HOG), "stay inside the manifest's folder")


def test_bad_no_model_named(crossband, pairs):
    refused(crossband("benchmark", pairs, "--models", " , "), "--models is empty")


def test_bad_fitting_on_too_few_images(crossband, pairs, store):
    done = crossband(
        "fit", pairs, "--model", "hog", "--dim", "64", "--size", "64x64", "--store", store, "--out", "s"
    )
    refused(done, "64 dims need more than 64 images", "there are 12")


def test_bad_a_split_that_is_not_there(crossband, pairs, store):
    done = crossband(
        "fit", pairs, "--model", "hog", "--split", "trian", "--store", store, "--out", "s.safetensors"
    )
    refused(done, "no frames in split trian")


def test_bad_data_for_the_demo(crossband, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(crossband("demo", "--data", "empty", "--models", "hog"), "no bands recognized in empty")
    refused(crossband("demo", "--data", "gone", "--models", "hog"), "gone")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("benchmrk",), "benchmark"),
        (("search", "a.png"), "--gallery"),
        (("search", "--folder", "x"), "--folder"),
        (("benchmark", ".", "--workers", "0"), "--workers"),
        (("search", "a.png", "--gallery", "g", "-k", "many"), "-k"),
        (("fit", ".", "--out", "s", "--dim", "1"), "--dim"),
    ],
)
def test_bad_verbs_and_options(crossband, arguments, said):
    refused(crossband(*arguments), said, "--help")


def test_stopping_by_hand_says_that_the_command_continues(crossband, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossband.datasets.open_frames", stop)
    done = crossband("benchmark", ".")
    assert done.status == 130
    assert "run the same command to resume" in done.err.strip().splitlines()[-1]


def test_a_defect_of_ours_is_not_dressed_up_as_a_mistake(crossband, monkeypatch):
    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("crossband.datasets.open_frames", break_down)
    monkeypatch.setattr(sys, "argv", ["crossband", "benchmark", "."])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_closed_pipe_is_no_error(pairs):
    command = f"{sys.executable} -c 'from crossband.cli import main; main()' datasets --json | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        env={**os.environ, "CROSSBAND_OFFLINE": "1"},
    )
    assert "Traceback" not in done.stderr


def test_bad_an_unknown_layout_before_anything_is_rendered(crossband, tmp_path):
    refused(crossband("simulate", "--layout", "kitti", "--out", "city"), "unknown layout 'kitti'", "coco")
    assert not Path("city").exists()


def test_bad_a_folder_of_data_that_is_not_there(crossband):
    refused(crossband("reproduce", "vpr-finetuning", "--data-root", "gone"), "no folder gone", "datasets")
