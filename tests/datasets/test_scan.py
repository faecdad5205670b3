"""From a folder of one's own to frames, and what is said where that fails."""

import pytest

from crossband.bands import Band
from crossband.datasets import list_datasets, open_frames, scan
from crossband.errors import CrossbandError

from ..flir_file import radiometric_jpeg
from .conftest import rows


def test_two_folders_are_paired_by_stem(tmp_path, make_pairs):
    root = make_pairs(tmp_path, n=2)
    frames = scan(rgb=root / "rgb", tir=root / "tir")
    assert rows(frames, "frame", "rgb", "tir") == [
        (f"000{i}", f"rgb/000{i}.png", f"tir/000{i}.png") for i in range(2)
    ]
    assert frames.root == root


def test_suffixes_of_the_files_do_not_matter_and_subfolders_are_part_of_the_stem(plant):
    root = plant(["A/day/1.jpg", "A/night/1.jpg", "B/day/1.png", "B/night/1.tiff"])
    frames = scan(root, rgb=root / "A", tir=root / "B")
    assert rows(frames, "frame", "rgb", "tir") == [
        ("day/1", "A/day/1.jpg", "B/day/1.png"),
        ("night/1", "A/night/1.jpg", "B/night/1.tiff"),
    ]


@pytest.mark.parametrize(
    ("visible", "thermal"),
    [("rgb", "thermal"), ("RGB", "TIR"), ("visible", "lwir"), ("vi", "ir"), ("color_left", "thermal_8")],
)
def test_folders_named_after_their_bands_are_recognized(plant, visible, thermal):
    root = plant([f"{visible}/a.png", f"{thermal}/a.png", "masks/a.png"])
    assert rows(scan(root), "rgb", "tir") == [(f"{visible}/a.png", f"{thermal}/a.png")]


@pytest.mark.parametrize(
    ("visible", "thermal", "band"),
    [("_rgb", "_tir", "tir"), ("_rgb", "_nir", "nir"), ("-vis", "-ir", "tir"), ("_RGB", "_T", "tir")],
)
def test_suffixes_that_tell_the_band_are_recognized(plant, visible, thermal, band):
    root = plant([f"a/1{visible}.png", f"a/1{thermal}.png", "a/1_gt.png"])
    assert rows(scan(root), "frame", "rgb", band) == [("a/1", f"a/1{visible}.png", f"a/1{thermal}.png")]


def test_names_that_are_not_utf8_are_left_out_with_a_note(plant, tmp_path, capsys):
    root = plant([f"{band}/{i}.png" for band in ("rgb", "tir") for i in range(2)])
    for band in ("rgb", "tir"):
        (root / band / "0.png").rename(root / band / "\udcff1.png")
    frames = scan(root)
    assert frames.names == ["1"]
    assert r"left out: names like b'\xff1.png' are not UTF-8" in capsys.readouterr().err
    frames.write(tmp_path / "frames.parquet")


def test_groups_of_frames_whose_folder_is_not_utf8_are_left_out_with_a_note(plant, capsys):
    root = plant([f"{name}/{band}/00001.jpg" for name in ("a", "b") for band in ("color", "ir")])
    (root / "b").rename(root / "\udcff")
    assert scan(root, kind="vot_rgbt").names == ["a/00001"]
    assert "is not UTF-8" in capsys.readouterr().err


def test_a_root_is_of_a_manifest_only(plant):
    root = plant(["rgb/a.png", "tir/a.png"])
    with pytest.raises(CrossbandError, match=r"no manifest") as caught:
        open_frames(root, "/nope")
    assert caught.value.parameter == "root"
    scan(root).write(root / "frames.parquet")
    with pytest.raises(CrossbandError, match="/nope") as caught:
        open_frames(root, "/nope")
    assert caught.value.parameter == "root"
    assert open_frames(root, root).root == root


def test_named_suffixes_win_the_longest_first(plant):
    root = plant(["1v.png", "1ir.png", "1nir.png"])
    frames = scan(root, suffixes={"tir": "ir", "nir": "nir", "rgb": "v"})
    assert rows(frames, "frame", "rgb", "nir", "tir") == [("1", "1v.png", "1nir.png", "1ir.png")]


def test_frames_are_in_natural_order(plant):
    root = plant(f"{band}/frame{i}.png" for band in ("rgb", "tir") for i in (10, 9, 1, 100))
    assert scan(root).names == ["frame1", "frame9", "frame10", "frame100"]


def test_a_frame_of_one_band_is_kept_and_said(plant, capsys):
    frames = scan(plant(["rgb/a.png", "rgb/b.png", "tir/a.png"]))
    assert frames.table["tir"].isna().tolist() == [False, True]
    assert "1 of 2 frames have only one band" in capsys.readouterr().err


def test_linked_folders_are_read_under_their_names_here(plant, tmp_path, make_pairs):
    recordings = make_pairs(tmp_path / "elsewhere", n=1)
    root = plant(["notes.txt"])
    for band in ("rgb", "tir"):
        (root / band).mkdir()
        (root / band / "flight1").symlink_to(recordings / band)
    frames = scan(root)
    assert rows(frames, "frame", "rgb") == [("flight1/0000", "rgb/flight1/0000.png")]
    assert all(path.is_file() for path in frames.paths("tir"))


def test_a_link_back_up_is_not_followed_for_ever(plant):
    root = plant(["rgb/a.png", "tir/a.png"])
    (root / "rgb" / "loop").symlink_to(root / "rgb")
    assert scan(root).names == ["a"]


def test_hidden_files_and_folders_are_not_images(plant):
    root = plant(["rgb/a.png", "tir/a.png", "rgb/._a.png", "rgb/.cache/b.png", "tir/.cache/b.png"])
    assert scan(root).names == ["a"]


def test_radiometric_jpegs_are_both_bands(plant, capsys):
    root = plant(["overview.png"])
    for name in ("FLIR0001.jpg", "FLIR0002.jpg"):
        (root / name).write_bytes(radiometric_jpeg())
    assert rows(scan(root), "frame", "rgb", "tir") == [
        ("FLIR0001", "FLIR0001.jpg", "FLIR0001.jpg"),
        ("FLIR0002", "FLIR0002.jpg", "FLIR0002.jpg"),
    ]
    assert "1 of 3 images carry no temperatures and are left out" in capsys.readouterr().err


def test_a_recognized_layout_that_fits_two_is_refused(plant):
    root = plant(["Vis/00000.png", "Ir/00000.png", "crop_LR_visible/a.jpg", "cropinfrared/a.jpg"])
    with pytest.raises(CrossbandError, match="m3fd, roadscene"):
        scan(root)
    assert scan(root, kind="m3fd").names == ["00000"]


@pytest.mark.parametrize("entry", list_datasets(), ids=lambda entry: entry.name)
def test_every_dataset_says_what_it_is(entry):
    assert entry.title
    assert entry.license
    assert entry.source.startswith("https://")
    assert "ROOT/" in entry.layout
    assert set(entry.bands) <= {"rgb", "nir", "tir"}


def test_a_folder_with_a_manifest_opens_as_the_manifest_says(tmp_path, make_pairs):
    root = make_pairs(tmp_path, n=3)
    scan(root).every(2).write(root / "frames.parquet")
    assert open_frames(root).names == ["0000", "0002"]
    assert open_frames(root / "frames.parquet").names == ["0000", "0002"]
    (root / "frames.parquet").unlink()
    assert len(open_frames(root)) == 3


@pytest.mark.shared
def test_aligned_rgb_and_nir_of_epfl_are_read_by_their_suffixes(shared):
    frames = scan(shared / "data" / "epfl_nirscene" / "country")
    assert len(frames) == 52
    assert [band.value for band in frames.bands] == ["rgb", "nir"]


def test_images_that_a_folder_s_manifest_does_not_list_are_said(tmp_path, make_pairs, capsys):
    root = make_pairs(tmp_path / "pairs", n=3)
    scan(root).write(root / "frames.parquet")
    assert len(open_frames(root)) == 3
    assert "beside those" not in capsys.readouterr().err
    (root / "tir" / "new.png").write_bytes((root / "tir" / "0000.png").read_bytes())
    assert len(open_frames(root)) == 3
    assert "1 images beside those that" in capsys.readouterr().err


def test_a_flat_folder_is_of_the_band_that_is_said(tmp_path, make_pairs):
    folder = make_pairs(tmp_path / "pairs", n=3) / "tir"
    assert open_frames(folder, band="tir").bands == (Band.TIR,)
