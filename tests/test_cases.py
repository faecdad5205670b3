"""Every case of ``../shared/cases`` gives the right value by its own README; skipped where there are none.

Case 40, a full disk, is in ``test_killed.py``: it needs no files.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossband.data.preprocess import Placement
from crossband.datasets import metadata, open_frames, scan
from crossband.datasets.check import check_frames
from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.retrieval import Gallery, Options, benchmark, index, search

from .cli.conftest import crossband  # noqa: F401  (fixture)
from .conftest import SHARED, write_pairs

CASES = SHARED / "cases"
SMALL = Options(size=(64, 64), device="cpu")
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases: these inputs are not redistributed"),
]


def run(*arguments: object, cwd: Path | None = None, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    # by a shell in between: a process counts the memory of the one that started it among its own peak
    return subprocess.run(
        ["/bin/sh", "-c", '"$@"; exit $?', "sh", sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def case(tmp_path, monkeypatch):
    """``case(number)``: a copy of a case's folder, made by its own script where it has one."""

    def made(number: str) -> Path:
        [source] = CASES.glob(f"{number}_*")
        folder = tmp_path / source.name
        shutil.copytree(source, folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        if (folder / "make.py").is_file():
            monkeypatch.chdir(Path(__file__).parents[1])  # where the scripts find ../shared
            monkeypatch.setattr(sys, "argv", ["make.py"])
            runpy.run_path(str(folder / "make.py"))
        return folder

    return made


@pytest.fixture
def script(capsys, monkeypatch):
    """``script(number, name)``: what a case's script prints, run in this process."""

    def printed(number: str, name: str = "make.py") -> str:
        [source] = CASES.glob(f"{number}_*")
        monkeypatch.setattr(sys, "argv", [name])
        capsys.readouterr()
        runpy.run_path(str(source / name))
        return capsys.readouterr().out

    return printed


def test_01_a_little_endian_directory_reads_as_a_big_endian_one():
    folder = CASES / "01_zenmuse_little_endian"
    little, big = (
        read_image(folder / f"{n}.jpg", "tir").pixels for n in ("zenmuse_little_endian", "handheld_big_endian")
    )
    assert little.shape == (12, 16)
    assert np.abs(little - big).max() < 0.1


def test_03_the_other_pages_are_said(case, capsys):
    folder = case("03")
    frames = scan(folder / "rec")
    assert any("6 images" in str(one) for one in metadata(folder / "rec", frames))
    assert "flight.tiff" in capsys.readouterr().err
    assert any(line.startswith("pages") for line in check_frames(frames).remarks)


@pytest.mark.slow
def test_04_one_picture_finds_its_thermal_frame_and_one_image_is_no_mean(tmp_path):
    roadscene = SHARED / "data" / "roadscene"
    names = ["FLIR_00006", "FLIR_00306", "FLIR_01130", "FLIR_04071"]
    for folder in ("night", "one"):
        (tmp_path / folder).mkdir()
    for name in names:
        shutil.copy(roadscene / "cropinfrared" / f"{name}.jpg", tmp_path / "night")
    photo = shutil.copy(roadscene / "crop_LR_visible" / f"{names[0]}.jpg", tmp_path / "one" / "photo.jpg")
    index(open_frames(tmp_path / "night", band="tir"), tmp_path / "g", bands=["tir"])
    found = search(photo, tmp_path / "g", 4)
    assert found[0].frame == names[0]
    assert len({match.distance for match in found}) == 4
    with pytest.raises(CrossbandError, match="5 or more"):
        search(photo, tmp_path / "g", 4, calibrate=tmp_path / "one")


@pytest.mark.slow
def test_05_cameras_of_two_resolutions_are_no_fault(case, crossband):  # noqa: F811
    assert crossband("data", "check", case("05") / "rig", "--pairs", 0).status == 0


def test_06_one_bad_frame_is_left_out_and_said(case, capsys):
    from crossband.segmentation import predict, segment

    from .segmentation.test_predict import checkpoint_of

    folder = case("06")
    found = segment([folder / "rec"], checkpoint_of(folder / "s.safetensors"), folder / "out")
    assert [one.frame for one in found] == ["0", "2"]
    assert capsys.readouterr().err.count("left out: ") == 1
    assert predict.unique_stems(["a/b", "a_b"])["a/b"] != predict.unique_stems(["a/b", "a_b"])["a_b"]


def test_07_positions_and_times_come_from_exif(case, tmp_path):
    frames = scan(case("07") / "flight")
    table = frames.table
    assert table["lat"].tolist() == pytest.approx([46.5, 46.50018, 46.50036, 46.50054], abs=1e-6)
    assert table["lon"].tolist() == pytest.approx([6.6] * 4, abs=1e-6)
    assert table["time"].tolist() == [f"2026-07-01T10:00:0{i}" for i in range(4)]
    assert table["altitude"].tolist() == pytest.approx([60.0, 60.1, 60.2, 60.3])
    assert benchmark(
        frames, ["hog"], store=tmp_path, protocol="within:25", misaligned=False, options=SMALL
    ).runs


def test_08_nested_folders_are_sequences(case):
    folder = case("08")
    assert len(scan(folder / "kaist")) == 6
    flights = scan(folder / "flights")
    assert flights.names[0] == "flight1/I00000"
    assert flights.bands == ("rgb", "tir")


def test_09_pairs_are_at_most_the_tolerance_apart(case):
    table = scan(case("09") / "bag", tolerance=0.05).table
    both = table[table["rgb"].notna() & table["tir"].notna()]
    apart = [float(Path(t).stem) - float(Path(r).stem) for r, t in zip(both["rgb"], both["tir"], strict=True)]
    assert apart == pytest.approx([0.04] * 5, abs=1e-3)
    assert (table["tir"].isna().sum(), table["rgb"].isna().sum()) == (1, 1)


def test_10_micasense_has_color_from_three_files(case):
    frames = scan(case("10") / "SYNC0000SET")
    assert len(frames) == 3
    assert read_image(frames.paths("rgb")[0]).pixels.shape == (308, 412, 3)
    kelvin = read_image(frames.paths("tir")[0], "tir", "centikelvin").pixels / 100
    assert 290 < kelvin.min() < 294 < 307 < kelvin.max() < 311  # 293.15 to 308, resized by a cubic


@pytest.mark.slow
def test_12_explaining_leaves_the_benchmarks_files(tmp_path, make_pairs, crossband):  # noqa: F811
    pairs, out = make_pairs(tmp_path / "pairs", n=6), tmp_path / "r"
    common = ("--models", "hog", "--size", "64x48", "--out", out)
    assert crossband("benchmark", pairs, *common).status == 0
    before = {path.name: path.read_bytes() for path in out.glob("re*.*")}
    done = crossband("explain", pairs, *common, "--window", "0", "--projections", "pca")
    assert done.status == 0, done.err
    assert {name: (out / name).read_bytes() for name in before} == before


def test_13_what_was_not_taken_is_said(case, capsys):
    folder = case("13")
    scan(folder / "sfx", suffixes={"rgb": "_a", "tir": "_b"})
    said = capsys.readouterr().err
    assert "2 images in no frame" in said
    assert "VisionVI_0a.png" in said
    mixed = scan(folder / "mixed")
    assert "3.seq" in capsys.readouterr().err
    assert mixed.table["tir"].tolist()[1] == "thermal/1.RJPG"


def recall(frames, tmp_path, name, options=None):
    from dataclasses import replace

    options = replace(options or Options(), size=(160, 160), device="cpu")
    once = {"misaligned": False, "rerank": 0, "store": tmp_path / f"store{name}"}
    return benchmark(frames, ["crossband"], "rgb", "tir", options=options, **once).runs[0]


@pytest.mark.slow
def test_14_a_view_said_once_gives_what_cut_images_give(case, tmp_path):
    folder = case("14")
    rig = Options(rig=Placement.parse([], ["rgb=0.27,0.27,0.46,0.46"]))
    plain, cut = (scan(folder / name) for name in ("as_the_rig_gives_it", "rgb_cropped"))
    without, with_view, right = (
        recall(frames, tmp_path, i, options).recall["1"]
        for i, (frames, options) in enumerate([(plain, None), (plain, rig), (cut, None)])
    )
    assert with_view >= right - 5
    assert with_view > without + 20


@pytest.mark.slow
def test_15_a_constant_offset_is_said(case, tmp_path):
    run = recall(scan(case("15") / "rec"), tmp_path, "o")
    assert run.recall["1"] < 10
    assert "one earlier: are the recordings offset?" in run.remark


@pytest.mark.slow
def test_16_a_turn_said_once_gives_what_upright_images_give(case, tmp_path):
    frames = scan(case("16") / "rec")
    assert recall(frames, tmp_path, "a").recall["1"] < 50
    assert recall(frames, tmp_path, "b", Options(rig=Placement.parse(["tir=180"], []))).recall["1"] >= 95


def test_17_dji_names_pair_and_counts_are_said_to_have_no_temperature(case):
    folder = case("17")
    for name in ("m30t", "late", "m2ea"):
        frames = scan(folder / name)
        assert frames.table[["rgb", "tir"]].notna().all().all()
        assert len(frames) == 3
    image = read_image(frames.paths("tir")[0], "tir")
    assert image.pixels.dtype == np.uint16
    assert "R-JPEG" in [remark.kind for remark in image.remarks]


def test_18_a_second_flight_of_the_same_names_is_other_items(case):
    folder = case("18")
    done = [index(open_frames(folder / f), folder / "g", "hog", ["tir"], options=SMALL) for f in ("f1", "f2")]
    assert [one.added for one in done] == [4, 4]
    assert Gallery.info(folder / "g")["items"] == 8


def test_20_a_palette_picture_is_no_photograph(case, tmp_path):
    case("01")  # whose script the other one uses
    folder = case("20")
    frames = scan(folder / "card")
    assert frames.bands == ("tir",)
    assert len(frames) == 8
    with pytest.raises(CrossbandError, match="needs two"):
        benchmark(frames, ["hog"], store=tmp_path / "s", options=SMALL)


def test_31_netpbm_keeps_its_depth(script):
    assert "uint16 distinct values in file 18 -> read 18" in script("31")


# case 32, a tile bomb: io/test_kinds.py, whose file is packed in a second and not in twenty
# case 33, the second band after a kill: retrieval/test_stopped.py stops at every commit, test_killed.py kills


@pytest.mark.slow
def test_34_files_have_the_mode_that_the_umask_gives():
    """Its script forks a process that has threads, which may hang: here a fresh one becomes the other user."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        write_pairs(folder / "set", n=20)
        gallery = folder / "gallery"
        code = (
            "import contextlib, os; os.umask(0o022)\n"
            "from crossband import cli; from crossband.retrieval import Gallery\n"
            "with contextlib.suppress(SystemExit): cli.main()\n"
            f"print(Gallery.info({str(gallery)!r})['items'])\n"
            f"os.setuid(65534); print(Gallery.info({str(gallery)!r})['items'])"
        )
        index = ("index", folder / "set", "--gallery", gallery, "--model", "hog", "--size", "64x64")
        done = run("-c", code, *index)
        assert done.stdout.split()[-2:] == ["40", "40"], done.stderr
        for path in (gallery, *gallery.rglob("*")):
            assert stat.filemode(path.stat().st_mode) == ("drwxr-xr-x" if path.is_dir() else "-rw-r--r--"), path


def test_35_ties_count_against_a_network_and_no_numbers_are_refused():
    from crossband.frames import Frames
    from crossband.retrieval.tasks.places import _nearest

    rows = [{"frame": str(i), "rgb": "a.png", "x": 100.0 * i, "y": 0.0} for i in range(30)]
    frames = Frames.make(rows, ".")
    dead = np.zeros((30, 4), np.float32)
    found = _nearest(dead, dead, frames, frames, "meters")
    assert found.shape == (30, 10)
    assert not (found == np.arange(30)[:, None]).any()
    alive = np.eye(30, dtype=np.float32)
    assert (_nearest(alive, alive, frames, frames, "meters")[:, 0] == np.arange(30)).all()


def test_36_hostile_recipes_are_one_sentence(tmp_path):
    from crossband.training.recipe import read_recipe

    texts = {
        "date": "task: places\nrow: 2020-13-45\n",
        "int": "seed: !!int abc\n",
        "ts": "row: !!timestamp x\n",
        "base": 'base: ""\n',
        "base0": 'base: "a\\0b"\n',
        "deep": "a: " + "[" * 5000 + "]" * 5000,
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        with pytest.raises(CrossbandError):
            read_recipe(tmp_path / f"{name}.yaml")


LIES = (
    b"[]",
    b'{"columns":[]}',
    b'{"index_columns":["nope"],"columns":[],"column_indexes":[]}',
    b'{"index_columns":["frame"],"columns":[],"column_indexes":[]}',
    b'{"index_columns":[{"kind":"range","name":null,"start":0,"stop":1e999,"step":0}],"columns":[],'
    b'"column_indexes":[]}',
    b"[" * 100_000,
    b'{"index_columns":5,"columns":7,"column_indexes":"x"}',
)
"""What a manifest may say of itself to pandas; the images are not there, so that every one is a fault."""


@pytest.mark.slow
def test_37_lying_metadata_of_a_manifest_is_no_traceback(tmp_path, crossband):  # noqa: F811
    table = pa.table({"frame": ["a"], "rgb": ["a.png"]})
    labels = table.append_column("labels", pa.array([b"\xff\xfe"]))
    for made in (*(table.replace_schema_metadata({b"pandas": lie}) for lie in LIES), labels):
        pq.write_table(made, tmp_path / "m.parquet")
        done = crossband("data", "check", tmp_path / "m.parquet", "--pairs", 0)
        assert done.status == 2
        assert "Traceback" not in done.err
        assert done.err.splitlines()[-1].startswith("crossband: ")


def test_38_blanks_and_other_signs_in_names_are_names(tmp_path, make_pairs):
    source = make_pairs(tmp_path / "source", n=2)
    for number, name in enumerate((" a", "~a", "1:05", "a ")):
        root = tmp_path / str(number)
        root.mkdir()
        for band in ("rgb", "tir"):
            shutil.copy(source / band / "0000.png", root / f"{name}_{band}.png")
            shutil.copy(source / band / "0001.png", root / f"b_{band}.png")
        frames = open_frames(scan(root).write(root / "frames.csv"))
        assert name in frames.names
        assert check_frames(frames).faults == []


@pytest.mark.slow
def test_39_a_folder_whose_name_is_not_utf8_is_measured_and_no_traceback(
    tmp_path,
    make_pairs,
    crossband,  # noqa: F811
):
    root = make_pairs(tmp_path / "pairs", n=6).rename(tmp_path / "par\udcff")
    done = crossband("benchmark", root, "--models", "hog", "--size", "64x48", "--out", tmp_path / "o")
    assert done.status == 0, done.err
    done = crossband("index", root, "--gallery", tmp_path / "g", "--model", "hog")
    assert (done.status, "Traceback" in done.err) == (2, False)


MEMORY = """
import sys, tempfile
import numpy as np
from crossband.allocator import keep_freed_memory, process_peak_mb
keep_freed_memory()  # as the command line does
from crossband.bands import Band
from crossband.frames import Frames
from crossband.metrics import Protocol, recall_interval
from crossband.retrieval import Descriptor, Options
from crossband.retrieval.descriptor_cache import DescriptorStore
from crossband.retrieval.directions import Direction, Sides
from crossband.retrieval.embed import BandEmbedding, Embedding

def measure(n, memory):
    names = [str(i) for i in range(n)]
    frames = Frames.make([{"frame": i, "rgb": f"{i}r.png", "tir": f"{i}t.png"} for i in names], ".")
    rng, parts = np.random.default_rng(0), {}
    for band in (Band.RGB, Band.TIR):
        store = DescriptorStore(folder, f"{band}{n}")
        for name, row in zip(names, rng.normal(size=(n, 96)).astype(np.float16)):
            store.add(name, row)
        parts[band] = BandEmbedding(band, np.arange(n), store.select(names), names)
    rule, hog = Protocol.parse("exact"), Descriptor.load("hog", Options(size=(48, 64), device="cpu"))
    sides = Sides.of(Embedding(hog, frames, parts, [], 0, 1.0), Direction(Band.RGB, Band.TIR))
    ranks = sides.ranks(rule, memory)
    sides.cka(memory)
    recall_interval(ranks.kept <= 1)
    sides.examples(ranks, rule, memory)

with tempfile.TemporaryDirectory() as folder:
    measure(500, 1 << 24)
    libraries = process_peak_mb()
    measure(5000, 1 << 26)
    print(process_peak_mb() - libraries)
"""


@pytest.mark.slow
def test_42_a_benchmark_takes_no_more_memory_above_the_libraries_than_is_allowed():
    """Of 5,000 descriptors a side, whose distances alone are 100 MB; the case's 100,000 take half an hour."""
    done = run("-c", MEMORY)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 64


def test_41_hostile_boxes_are_a_sentence(script):
    assert [line.split()[0] for line in script("41", "repro.py").splitlines()] == ["CrossbandError"] * 2


def test_44_a_state_or_checkpoint_of_the_wrong_kind_is_a_sentence(tmp_path):
    import struct

    import torch

    from crossband.checkpoints import read_metadata, read_state

    for state in ([1], {}):
        torch.save(state, tmp_path / "state.pt")
        with pytest.raises(CrossbandError):
            read_state(tmp_path / "state.pt")
    for text in ("5", "[]", '{"format":"crossband-checkpoint-1"}'):
        head = json.dumps({"__metadata__": {"crossband": text}}).encode()
        (tmp_path / "c.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
        with pytest.raises(CrossbandError):
            read_metadata(tmp_path / "c.safetensors")


def test_45_a_map_asks_no_server(script):
    pytest.importorskip("rasterio")
    assert "requests the server saw: []" in script("45", "repro.py")


@pytest.mark.slow
def test_46_hostile_maps_and_videos_are_a_sentence(script):
    pytest.importorskip("rasterio")
    pytest.importorskip("av")
    assert "TRACEBACK" not in script("46", "repro.py")
