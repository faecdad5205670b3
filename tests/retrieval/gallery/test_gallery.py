"""A gallery finds what was put in, refuses what would be described differently, and keeps what it has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossband.bands import Band
from crossband.cli.gallery import query_image
from crossband.datasets import open_frames, scan
from crossband.errors import CrossbandError, ImageFault
from crossband.frames import Frames
from crossband.retrieval import Gallery, Options, index, search
from crossband.retrieval.descriptor.descriptor import unit_length
from crossband.retrieval.gallery import finder, indexing
from crossband.retrieval.gallery import gallery as module


@pytest.fixture(scope="module")
def described(pairs) -> Frames:
    """The pairs with metadata: two cameras, places of two frames, positions on a line."""
    return pairs.assign(
        camera=["north", "south"] * 6,
        place=[f"p{i // 2}" for i in range(12)],
        x=np.arange(12.0),
        y=np.zeros(12),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Descriptors shared by the galleries of this file."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def thermal(tmp_path_factory, described, small, store):
    """A gallery of the thermal images, which knows the means of all bands. Not to be changed."""
    folder = tmp_path_factory.mktemp("galleries") / "thermal"
    added = index(described, folder, "hog", ["tir"], options=small, store=store)
    assert (added.added, added.unchanged, added.faults) == (12, 0, [])
    return folder


@pytest.fixture
def changeable(tmp_path, thermal):
    """A copy of the thermal gallery."""
    return shutil.copytree(thermal, tmp_path / "gallery")


@pytest.mark.slow
def test_every_image_finds_itself_at_distance_zero(thermal, pairs):
    gallery = Gallery.open(thermal)
    for name, path in zip(pairs.names, pairs.paths("tir"), strict=True):
        best = gallery.nearest(gallery.describe(path, "tir"), k=1)[0]
        assert (best.frame, best.band, best.rank) == (name, "tir", 1)
        assert best.distance == pytest.approx(0, abs=0.02)
        assert best.path == str(path.resolve())


@pytest.mark.parametrize("band", ["rgb", "nir"])
def test_every_image_of_another_band_finds_its_partner(thermal, pairs, band):
    found = [search(path, thermal, 1, band=band)[0].frame for path in pairs.paths(band)]
    assert sum(a == b for a, b in zip(found, pairs.names, strict=True)) >= 11


def test_matches_come_nearest_first_with_their_metadata(thermal, pairs):
    matches = search(pairs.paths("rgb")[3], thermal, 5)
    assert [match.rank for match in matches] == [1, 2, 3, 4, 5]
    assert [m.distance for m in matches] == sorted(m.distance for m in matches)
    best = matches[0].to_dict()
    assert best["camera"] == "south"
    assert best["x"] == 3.0
    assert "time" not in best
    json.dumps(best)


def test_k_beyond_the_gallery_gives_all_of_it(thermal, pairs):
    assert len(search(pairs.paths("rgb")[0], thermal, 100)) == 12


def test_a_condition_filters_before_the_search(thermal, pairs):
    matches = search(pairs.paths("rgb")[0], thermal, 12, where="camera = 'south' AND x > 4")
    assert sorted(match.frame for match in matches) == ["0005", "0007", "0009", "0011"]


@pytest.mark.parametrize(
    "where", ["camera == ", "color = 'red'", "x = 'north' OR", "; DROP TABLE vectors", "1"]
)
def test_a_condition_that_cannot_be_read_is_one_sentence(thermal, pairs, where):
    with pytest.raises(CrossbandError, match="is no condition on") as caught:
        search(pairs.paths("rgb")[0], thermal, where=where)
    assert caught.value.parameter == "where"
    assert "\n" not in str(caught.value)


def test_what_is_there_already_is_not_added_again(changeable, described, store):
    again = index(described, changeable, bands=["tir"], store=store)
    assert (again.added, again.unchanged) == (0, 12)
    assert len(Gallery.open(changeable)) == 12


def test_an_image_whose_content_changed_replaces_its_row(tmp_path, make_pairs, small):
    frames = open_frames(make_pairs(tmp_path / "a", n=5))
    index(frames, tmp_path / "g", "hog", ["tir"], options=small)
    other = make_pairs(tmp_path / "b", n=5, seed=9)
    shutil.copy(other / "tir" / "0002.png", frames.paths("tir")[2])
    again = index(frames, tmp_path / "g", bands=["tir"])
    assert (again.added, again.replaced, again.unchanged) == (0, 1, 4)
    gallery = Gallery.open(tmp_path / "g")
    assert len(gallery) == 5
    best = gallery.nearest(gallery.describe(other / "tir" / "0002.png", "tir"), 1)[0]
    assert (best.frame, best.distance < 0.02) == ("0002", True)


def test_further_frames_and_bands_are_added_beside_what_is_there(tmp_path, described, small, store):
    first = described.select(np.arange(8))
    index(first, tmp_path / "g", "hog", ["tir"], options=small, store=store)
    added = index(described, tmp_path / "g", bands=["tir", "nir"], store=store)
    assert (added.added, added.unchanged) == (16, 8)
    assert Gallery.info(tmp_path / "g")["bands"] == {"tir": 12, "nir": 12}


def test_faulty_images_are_left_out_and_listed_the_second_time_too(tmp_path, make_pairs, small):
    frames = open_frames(make_pairs(tmp_path / "a", n=5))
    frames.paths("tir")[1].write_bytes(b"")
    frames.paths("tir")[3].write_text("not an image")
    for added, unchanged in ((3, 0), (0, 3)):
        found = index(frames, tmp_path / "g", "hog", ["tir"], options=small)
        assert (found.added, found.unchanged) == (added, unchanged)
        assert [fault.reason.split(" (")[0] for fault in found.faults] == [
            "empty file",
            "not an image, or of an unsupported format",
        ]


def test_delete_takes_what_matches_the_filter(changeable, pairs):
    gallery = Gallery.open(changeable)
    assert gallery.delete("camera = 'north'") == 6
    assert gallery.delete("camera = 'north'") == 0
    assert len(Gallery.open(changeable)) == 6
    assert all(match.metadata["camera"] == "south" for match in search(pairs.paths("rgb")[0], changeable, 12))


def test_a_search_after_a_change_sees_it(changeable, pairs):
    gallery = Gallery.open(changeable)
    vector = gallery.describe(pairs.paths("tir")[4], "tir")
    assert gallery.nearest(vector, 1)[0].frame == "0004"
    gallery.delete("x = 4")
    assert gallery.nearest(vector, 1)[0].frame != "0004"


def test_means_never_change_afterwards(tmp_path, described, small, store):
    index(described.select(np.arange(6)), tmp_path / "g", "hog", options=small, store=store)
    before = Gallery.open(tmp_path / "g").descriptor.means
    index(described, tmp_path / "g", store=store)
    after = Gallery.open(tmp_path / "g").descriptor.means
    assert set(before) == set(Band)
    for band in Band:
        np.testing.assert_array_equal(before[band], after[band])


def test_rows_in_whatever_batches_are_the_same(tmp_path, described, thermal, small, store, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 5)
    index(described, tmp_path / "g", "hog", ["tir"], options=small, store=store)
    tables = [Gallery.open_rows(f).read(["key", "vector"]).to_pylist() for f in (tmp_path / "g", thermal)]
    assert tables[0] == tables[1]


def test_batches_are_bounded_in_bytes_so_that_flattened_maps_fit():
    assert module.rows_at_once(256) == module._BATCH
    assert module.rows_at_once(400_000) * 400_000 * 4 <= module._BATCH_BYTES
    assert module.rows_at_once(1 << 40) == 1


def test_a_gallery_made_by_another_model_is_refused(changeable, described, small, store):
    with pytest.raises(CrossbandError, match=r"efficientnet_lite0@blocks\.2"):
        index(described, changeable, "efficientnet_lite0@blocks.2", options=small, store=store)
    with pytest.raises(CrossbandError, match="hog:avg"):
        index(described, changeable, "hog:avg", options=small, store=store)
    assert len(Gallery.open(changeable)) == 12


def test_its_own_model_under_another_name_is_taken_at_the_gallery_s_own_size(changeable, described, store):
    assert index(described, changeable, "hog:center+normflat", ["tir"], store=store).unchanged == 12


def test_a_gallery_of_a_fitted_descriptor_refuses_the_one_it_was_fitted_on(
    tmp_path, described, hog, small, store
):
    from crossband.retrieval import fit_descriptor

    path = str(fit_descriptor([described], hog, 8, store=store).save(tmp_path / "small.safetensors"))
    index(described, tmp_path / "g", path, ["tir"], options=small, store=store)
    assert index(described, tmp_path / "g", path, ["tir"], options=small, store=store).unchanged == 12
    with pytest.raises(CrossbandError, match="hog"):
        index(described, tmp_path / "g", "hog", ["tir"], options=small, store=store)


def test_a_query_is_described_by_what_lies_in_the_gallery(thermal, pairs, small):
    """Whoever opens it with other options gets the gallery's own size and normalization."""
    gallery = Gallery.open(thermal, replace(small, size=(320, 320), normalization={"tir": "range"}))
    assert gallery.descriptor.preprocess.size == (64, 64)
    assert gallery.nearest(gallery.describe(pairs.paths("tir")[2], "tir"), 1)[0].distance < 0.02


def test_a_band_without_a_mean_is_refused_and_calibration_fixes_it(tmp_path, described, pairs, small, store):
    only = Frames.make(described.table.drop(columns=["rgb", "nir"]), described.root)
    index(only, tmp_path / "g", "hog", options=small, store=store)
    with pytest.raises(CrossbandError, match=r"rgb"):
        search(pairs.paths("rgb")[0], tmp_path / "g")
    found = [
        search(path, tmp_path / "g", 1, calibrate=pairs.root / "rgb", store=store)[0].frame
        for path in pairs.paths("rgb")
    ]
    assert sum(a == b for a, b in zip(found, pairs.names, strict=True)) >= 11


def test_a_query_that_is_no_image_is_a_fault_with_its_reason(tmp_path, thermal):
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageFault, match=r"text\.png"):
        search(tmp_path / "text.png", thermal)


@pytest.mark.slow
def test_int8_rows_are_a_quarter_and_rank_like_float32_ones(tmp_path, described, thermal, pairs, small, store):
    index(described, tmp_path / "g", "hog", ["tir"], options=small, dtype="int8", store=store)
    assert Gallery.info(tmp_path / "g")["dtype"] == "int8"
    for path in pairs.paths("rgb"):
        coarse, fine = (search(path, folder, 12) for folder in (tmp_path / "g", thermal))
        assert coarse[0].frame == fine[0].frame
        distances = {match.frame: match.distance for match in fine}
        assert all(match.distance == pytest.approx(distances[match.frame], abs=0.02) for match in coarse)


@pytest.mark.slow
def test_int8_keeps_the_recall_of_random_unit_vectors(tmp_path, hog):
    rng = np.random.default_rng(0)
    rows = unit_length(rng.normal(size=(400, 64)).astype(np.float32))
    queries = unit_length(rows + 0.1 * rng.normal(size=rows.shape).astype(np.float32))
    gallery = Gallery.create(tmp_path / "g", replace(hog, means={}), rows, "int8")
    table = numbered(gallery, np.clip(np.rint(rows * gallery.coding.scale), -127, 127).astype(np.int8))
    gallery.rows.upsert(table)
    found = [gallery.nearest(query, 1)[0].frame for query in queries]
    exact = ((queries[:, None] - rows[None]) ** 2).sum(-1).argmin(1)
    assert np.mean([int(a) == b for a, b in zip(found, exact, strict=True)]) >= 0.995


def numbered(gallery: Gallery, vectors: np.ndarray):
    """Rows named by their position."""
    import pyarrow as pa

    from crossband.retrieval.gallery.lance import row_schema

    schema = row_schema(vectors.shape[1], "int8" if vectors.dtype == np.int8 else "float32")
    names = [str(i) for i in range(len(vectors))]
    columns = {name: [None] * len(vectors) for name in schema.names}
    columns.update(key=names, frame=names, band=["tir"] * len(vectors), path=names, digest=names)
    columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table(columns).cast(schema)


def test_the_store_s_own_index_may_be_asked_instead_of_memory(thermal, pairs):
    gallery = Gallery.open(thermal)
    vector = gallery.describe(pairs.paths("rgb")[5], "rgb")
    exact, approximate = (gallery.nearest(vector, 5, exact=choice) for choice in (True, False))
    assert [m.frame for m in exact] == [m.frame for m in approximate]
    np.testing.assert_allclose([m.distance for m in exact], [m.distance for m in approximate], atol=1e-3)


def test_info_says_what_it_holds_and_what_made_it_without_a_model(thermal):
    metadata = Gallery.info(thermal)
    assert metadata["items"] == 12
    assert metadata["bands"] == {"tir": 12}
    assert metadata["model"] == metadata["encoder"] == "hog"
    assert metadata["preprocess"]["size"] == [64, 64]
    json.dumps(metadata)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"format": "crossband-gallery-0"}'])
def test_a_folder_that_holds_no_gallery_is_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "gallery.json").write_text(content)
    with pytest.raises(CrossbandError):
        Gallery.open(tmp_path)


def test_an_interrupted_creation_is_begun_again(tmp_path, described, thermal, small, store):
    half = shutil.copytree(thermal, tmp_path / "g")
    (half / "gallery.json").unlink()  # written last: without it there is no gallery
    with pytest.raises(CrossbandError):
        Gallery.open(half)
    index(described, half, "hog", ["tir"], options=small, store=store)
    assert len(Gallery.open(half)) == 12


def test_a_query_may_be_a_frame_of_a_manifest(tmp_path, described):
    manifest = described.assign(tir_units="centikelvin").write(described.root / "query.csv")
    path, units = query_image("0003", "tir", manifest)
    assert path == described.root / "tir" / "0003.png"
    assert units == "centikelvin"
    assert query_image(str(path), "tir") == (path, None)
    with pytest.raises(CrossbandError, match="no image 0003") as caught:
        query_image("0003", "tir")
    assert caught.value.parameter == "frames"
    with pytest.raises(CrossbandError, match=r"003"):
        query_image("003", "tir", manifest)
    manifest.unlink()


def test_new_metadata_of_an_unchanged_image_reaches_the_gallery(tmp_path, make_pairs):
    frames = scan(make_pairs(tmp_path / "pairs", n=3))
    index(frames, tmp_path / "gallery", "hog", ["tir"])
    again = index(frames.assign(camera="north"), tmp_path / "gallery", bands=["tir"])
    assert (again.added, again.updated, again.unchanged) == (0, 3, 0)
    assert Gallery.open_rows(tmp_path / "gallery").count("camera = 'north'") == 3


def test_an_open_gallery_sees_what_another_one_adds(tmp_path, make_pairs):
    frames = scan(make_pairs(tmp_path / "pairs", n=4))
    index(frames.select(slice(0, 2)), tmp_path / "gallery", "hog", ["tir"])
    opened = Gallery.open(tmp_path / "gallery")
    assert len(opened) == 2
    index(frames, tmp_path / "gallery", bands=["tir"])
    assert len(opened) == 4
    assert len(opened.nearest(opened.describe(frames.paths("tir")[3], "tir"), k=9)) == 4


def test_a_user_s_folder_called_store_stays(tmp_path, described, small):
    kept = tmp_path / "g" / "store" / "mine.txt"
    kept.parent.mkdir(parents=True)
    kept.touch()
    index(described, tmp_path / "g", "hog", ["tir"], options=small)
    assert kept.exists()
    assert not (tmp_path / "g" / ".embedding").exists()


def test_no_gallery_is_made_of_an_empty_path(tmp_path, described, small, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for empty in ("", " ", Path()):
        with pytest.raises(CrossbandError, match="name one") as caught:
            index(described, empty, "hog", options=small, store=store)
        assert caught.value.parameter == "gallery"
    assert not list(tmp_path.iterdir())


INDEX = """
    import sys
    from crossband.datasets import open_frames
    from crossband.retrieval import Options, index

    print("ready", flush=True)
    sys.stdin.readline()
    index(open_frames(sys.argv[1]), sys.argv[2], "hog", ["tir"], options=Options(size=(64, 64), device="cpu"))
"""


@pytest.mark.slow
def test_two_runs_that_index_the_same_frames_at_once_add_them_once(tmp_path, pairs):
    command = [sys.executable, "-c", textwrap.dedent(INDEX), str(pairs.root), str(tmp_path / "g")]
    runs = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in "ab"]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        run.stdin.write("go\n")
        run.stdin.flush()
    assert [run.wait(120) for run in runs] == [0, 0]
    keys = Gallery.open_rows(tmp_path / "g").read(["key"])["key"].to_pylist()
    assert len(keys) == len(set(keys)) == 12
    assert sorted(path.name for path in (tmp_path / "g").iterdir()) == [
        "descriptor.safetensors",
        "gallery.json",
        "rows.lance",
    ]


def test_a_moved_recording_and_new_metadata_need_no_forward_pass(tmp_path, make_pairs, monkeypatch):
    root = make_pairs(tmp_path / "pairs", n=3)
    index(scan(root), tmp_path / "g", "hog", ["tir"])
    before = Gallery.open_rows(tmp_path / "g").read(["key", "vector"])
    frames = scan(root.rename(tmp_path / "moved")).assign(camera="north")
    monkeypatch.setattr(module, "embed", lambda *_, **__: pytest.fail("nothing is to be computed"))
    again = index(frames, tmp_path / "g", bands=["tir"])
    assert (again.added, again.updated, again.unchanged) == (0, 3, 0)
    rows = Gallery.open_rows(tmp_path / "g").read(["key", "path", "camera", "vector"])
    assert rows["path"].to_pylist() == [str(path.resolve()) for path in frames.paths("tir")]
    assert rows["camera"].to_pylist() == ["north"] * 3
    assert rows.select(["key", "vector"]).to_pylist() == before.to_pylist()
    assert index(frames, tmp_path / "g", bands=["tir"]).unchanged == 3


def test_options_given_by_hand_that_are_the_gallery_s_are_taken(thermal, described, store):
    options = Options(size=(64, 64), normalization={"tir": "percentile"}, device="cpu")
    again = index(described, thermal, bands=["tir"], options=options, dtype="float32", store=store)
    assert again.unchanged == 12


def test_another_dtype_than_the_gallery_s_is_refused_and_none_is_taken(
    tmp_path, described, thermal, small, store
):
    with pytest.raises(CrossbandError, match="int8"):
        index(described, thermal, bands=["tir"], dtype="int8", store=store)
    index(described, tmp_path / "g", "hog", ["tir"], options=small, dtype="int8", store=store)
    assert index(described, tmp_path / "g", bands=["tir"], store=store).unchanged == 12


def test_calibration_images_have_the_query_s_units_and_leave_the_gallery_alone(
    tmp_path, described, pairs, small, capsys
):
    only = Frames.make(described.table.drop(columns=["tir"]), described.root)
    options = replace(small, normalization={"tir": "kelvin:263:323"})
    index(only, tmp_path / "g", "hog", ["rgb"], options=options)
    folder = shutil.copytree(pairs.root / "tir", tmp_path / "calibrate")
    (folder / "0003.png").write_bytes(b"")
    before = sorted(tmp_path.joinpath("g").rglob("*"))
    search(pairs.paths("tir")[0], tmp_path / "g", band="tir", units="centikelvin", calibrate=folder)
    assert sorted(tmp_path.joinpath("g").rglob("*")) == before
    told = capsys.readouterr().err
    assert "left out of the calibration: " in told
    assert "0003.png: empty file" in told


def test_a_band_nobody_keeps_may_be_damaged_and_no_working_folder_stays_behind(
    tmp_path, make_pairs, small, capsys
):
    frames = open_frames(make_pairs(tmp_path / "pairs", n=4))
    for path in frames.paths("rgb"):
        path.write_bytes(b"")
    with pytest.raises(CrossbandError, match="rgb"):
        index(frames, tmp_path / "g", "hog", options=small)
    assert not (tmp_path / "g").exists()
    assert index(frames, tmp_path / "g", "hog", ["tir"], options=small).added == 4
    assert "rgb queries are best given" in capsys.readouterr().err


def test_a_run_stopped_by_hand_keeps_its_working_folder_to_continue(tmp_path, described, small, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(indexing, "_sample", stop)
    with pytest.raises(KeyboardInterrupt):
        index(described, tmp_path / "g", "hog", ["tir"], options=small)
    monkeypatch.undo()
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    assert (tmp_path / "g" / ".embedding").is_dir()
    index(described, tmp_path / "g", "hog", ["tir"], options=small)
    assert not (tmp_path / "g" / ".embedding").exists()


def test_an_interrupted_creation_is_repaired_with_another_size_and_dtype(
    tmp_path, described, thermal, small, store
):
    half = shutil.copytree(thermal, tmp_path / "g")
    (half / "gallery.json").unlink()
    options = replace(small, size=(96, 96))
    index(described, half, "hog", ["tir"], options=options, dtype="int8", store=store)
    assert Gallery.info(half)["dtype"] == "int8"
    assert len(Gallery.open(half)) == 12


def test_int8_rows_refuse_the_index_in_a_sentence(tmp_path, described, pairs, small, store):
    index(described, tmp_path / "g", "hog", ["tir"], options=small, dtype="int8", store=store)
    gallery = Gallery.open(tmp_path / "g")
    with pytest.raises(CrossbandError, match="int8"):
        gallery.nearest(gallery.describe(pairs.paths("tir")[0], "tir"), exact=False)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": None},
        {"dtype": "float64"},
        {"dtype": []},
        {"dtype": "int8"},
        {"scale": None},
        {"scale": 1},
        {"scale": "0"},
        {"scale": True},
        {"dtype": "int8", "scale": -1},
        {"dtype": "int8", "scale": float("nan")},
        {"dtype": "int8", "scale": float("inf")},
        {"dtype": "int8", "scale": 10**400},
        {"crossband": None},
    ],
)
def test_a_damaged_metadata_is_one_sentence_that_names_the_file(changeable, change):
    path = changeable / "gallery.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for call in (Gallery.open, Gallery.open_rows, Gallery.info):
        with pytest.raises(CrossbandError, match=r"gallery\.json"):
            call(changeable)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"format": ', "\x00", "1"])
def test_metadata_that_is_none_is_one_sentence(changeable, content):
    (changeable / "gallery.json").write_text(content)
    with pytest.raises(CrossbandError):
        Gallery.open(changeable)


def test_info_of_damaged_rows_blames_no_condition(changeable):
    for path in changeable.rglob("data/*.lance"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CrossbandError, match="rows") as caught:
        Gallery.info(changeable)
    assert "no condition" not in str(caught.value)


def test_an_image_is_at_no_distance_from_itself(thermal, pairs):
    gallery = Gallery.open(thermal)
    for path in pairs.paths("tir"):
        assert gallery.nearest(gallery.describe(path, "tir"), 1)[0].distance < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("where", [None, "x < 30"])
@pytest.mark.parametrize("k", [1, 7, 1000])
def test_a_gallery_that_does_not_fit_is_read_from_disk_and_gives_the_same(
    tmp_path, hog, dtype, where, k, monkeypatch, capsys
):
    rng = np.random.default_rng(0)
    rows = np.repeat(unit_length(rng.normal(size=(40, 32)).astype(np.float32)), 3, axis=0)[rng.permutation(120)]
    gallery = Gallery.create(tmp_path / "g", replace(hog, means={}), rows, dtype)
    kept = np.clip(np.rint(rows * gallery.coding.scale), -127, 127).astype(np.int8) if dtype == "int8" else rows
    table = numbered(gallery, kept)
    table = table.set_column(table.schema.names.index("x"), "x", [np.arange(120.0) // 2])
    for start in range(0, 120, 50):
        gallery.rows.upsert(table.slice(start, 50))
    monkeypatch.setattr(finder, "STREAM_BYTES", 10 * (32 * 4 + 512))
    queries = [rows[5], unit_length(rng.normal(size=(1, 32)).astype(np.float32))[0]]
    small_memory = [gallery.nearest(query, k, where, max_memory=20_000) for query in queries]
    assert gallery.finder._memory is None  # it was never loaded whole
    assert ("an index makes it fast" in capsys.readouterr().err) == (dtype == "float32")
    assert small_memory == [gallery.nearest(query, k, where) for query in queries]
    assert gallery.finder._memory is not None


def test_a_gallery_in_memory_stands_there_once(tmp_path, hog):
    import tracemalloc

    rows = np.random.default_rng(0).normal(size=(2000, 1000)).astype(np.float32)
    gallery = Gallery.create(tmp_path / "g", replace(hog, means={}), rows)
    gallery.rows.upsert(numbered(gallery, rows))
    tracemalloc.start()
    gallery.nearest(rows[0], 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * rows.nbytes


def test_an_index_that_was_built_serves_a_gallery_that_does_not_fit(tmp_path, hog, monkeypatch, capsys):
    rows = np.random.default_rng(0).normal(size=(600, 32)).astype(np.float32)
    gallery = Gallery.create(tmp_path / "g", replace(hog, means={}), rows)
    gallery.rows.upsert(numbered(gallery, rows))
    gallery.rows.optimize(index=True)
    monkeypatch.setattr(finder, "nearest", lambda *_: pytest.fail("the index was to be asked"))
    assert gallery.nearest(rows[4], 1, max_memory=10_000)[0].frame == "4"
    monkeypatch.setattr(finder, "_EXACT_BELOW", 100)
    assert gallery.nearest(rows[4], 1)[0].frame == "4"
    assert not capsys.readouterr().err


def test_a_gallery_keeps_to_its_bands_when_more_is_indexed(tmp_path, make_pairs):
    frames = scan(make_pairs(tmp_path / "pairs", n=4))
    index(frames.select(slice(0, 2)), tmp_path / "gallery", "hog", ["tir"])
    index(frames, tmp_path / "gallery")
    assert Gallery.info(tmp_path / "gallery")["bands"] == {"tir": 4}


@pytest.mark.slow
def test_a_gallery_of_one_band_keeps_the_means_that_came_with_a_trained_descriptor(make_pairs, tmp_path):
    images = sorted((make_pairs(tmp_path / "thermal", n=3, bands=("tir",)) / "tir").iterdir())
    thermal = Frames.make([{"frame": path.stem, "tir": path.name} for path in images], images[0].parent)
    photo = next((make_pairs(tmp_path / "color", n=1, bands=("rgb",)) / "rgb").iterdir())
    folder = tmp_path / "gallery"
    index(thermal, folder, "crossband512", options=Options(device="cpu"))
    found = search(photo, folder, k=1, band="rgb", options=Options(device="cpu"))
    assert len(found) == 1, "one photograph is searched without any others of its band"
    means = Gallery.open(folder, Options(device="cpu")).descriptor.means
    assert set(means) == {Band.RGB, Band.NIR, Band.TIR}
    np.testing.assert_allclose(means[Band.TIR].shape, (2800,))
