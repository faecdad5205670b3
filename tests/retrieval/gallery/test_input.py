"""Images that lie on an object store or in tar files, and manifests read in pieces: the same gallery."""

from __future__ import annotations

import os
import tarfile
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from crossband.cli.gallery import query_image
from crossband.datasets import open_frames, open_pieces, scan
from crossband.errors import CrossbandError, ImageFault
from crossband.io import is_image_file, read_bytes
from crossband.lance_tables import import_lancedb
from crossband.retrieval import Gallery, Options, index
from crossband.retrieval.gallery.indexing import index_pieces
from crossband.stored import is_there, members, stored_file

SMALL = Options(size=(64, 64))
N = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_pairs) -> Path:
    root = make_pairs(tmp_path_factory.mktemp("pairs"), N)
    open_frames(root).write(root / "frames.parquet")
    return root


def vectors(gallery: Path) -> dict[tuple[str, str], np.ndarray]:
    rows = Gallery.open_rows(gallery).read(["frame", "band", "vector"]).to_pylist()
    return {(row["frame"].rpartition("/")[2], row["band"]): np.array(row["vector"]) for row in rows}


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = vectors(one), vectors(other)
    assert ours.keys() == theirs.keys() != set()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture(scope="module")
def plain(folder, tmp_path_factory) -> Path:
    """The gallery of the folder."""
    gallery = tmp_path_factory.mktemp("plain") / "gallery"
    index(open_frames(folder), gallery, "hog", options=SMALL)
    return gallery


def test_images_of_a_bucket_give_the_gallery_of_the_folder(bucket, folder, plain, tmp_path, monkeypatch):
    for path in [*folder.rglob("*.png"), folder / "frames.parquet"]:
        url = f"{os.environ['AWS_ENDPOINT_URL']}/bucket/images/{path.relative_to(folder)}"
        request = urllib.request.Request(url, path.read_bytes(), {"Content-Type": "image/png"}, method="PUT")
        urllib.request.urlopen(request).close()
    frames = open_frames(f"{bucket}/images")
    assert frames.names == open_frames(folder).names
    added = index(frames, tmp_path / "gallery", "hog", options=SMALL)
    assert (added.added, added.faults) == (2 * N, [])
    assert_same(tmp_path / "gallery", plain)
    paths = Gallery.open_rows(tmp_path / "gallery").read(["path"])["path"].to_pylist()
    assert f"{bucket}/images/rgb/0000.png" in paths
    assert read_bytes(paths[0])  # what a search shows and re-ranks by
    assert query_image(f"{bucket}/images/rgb/0000.png", "rgb")
    monkeypatch.chdir(tmp_path)  # an address is the same from everywhere
    assert index(frames, tmp_path / "gallery", options=SMALL).unchanged == 2 * N
    with pytest.raises(ImageFault, match="missing"):
        read_bytes(f"{bucket}/images/rgb/gone.png")


def test_tar_files_give_the_gallery_of_the_folder_and_a_damaged_member_is_listed(folder, plain, tmp_path):
    shards = tmp_path / "shards"
    shards.mkdir()
    for number in range(2):
        with tarfile.open(shards / f"{number}.tar", "w") as tar:
            for path in sorted(folder.glob("*/*.png")):
                if int(path.stem) % 2 == number:
                    tar.add(path, f"{path.stem}.{path.parent.name}.png")
            if number:
                (tmp_path / "bad").write_bytes(b"no image")
                tar.add(tmp_path / "bad", "9999.tir.png")
    assert members(shards / "0.tar")[0] == "0000.rgb.png"
    assert query_image(str(shards / "0.tar" / "0000.rgb.png"), "rgb")[0].name == "0000.rgb.png"
    added = index(open_frames(shards), tmp_path / "gallery", "hog", options=SMALL)
    assert added.added == 2 * N
    assert [fault.path for fault in added.faults] == [str(shards / "1.tar" / "9999.tir.png")]
    assert_same(tmp_path / "gallery", plain)
    (shards / "0.tar").write_bytes(b"torn")
    with pytest.raises(CrossbandError, match=r"0\.tar is no tar file"):
        open_frames(shards)


def write_table(folder: Path, place: Path | str, blob: bool = True, names: tuple[str, ...] = ()) -> None:
    """Write the folder's images into a table, a row a frame."""
    frames = open_frames(folder)
    kind = {"lance-encoding:blob": "true"} if blob else None
    fields = [pa.field(band, pa.large_binary(), metadata=kind) for band in ("rgb", "tir")]
    schema = pa.schema([pa.field("frame", pa.string()), pa.field("altitude", pa.float64()), *fields])
    columns = [[path.read_bytes() for path in frames.paths(band)] for band in ("rgb", "tir")]
    columns[1][0] = None if names else columns[1][0]
    table = pa.table([list(names) or frames.names, [50.0] * N, *columns], schema=schema)
    import_lancedb().connect(str(place)).create_table("images", table)


@pytest.mark.parametrize("blob", [True, False], ids=["blobs", "binary"])
def test_a_table_of_images_gives_the_gallery_of_the_folder(folder, plain, tmp_path, blob):
    write_table(folder, tmp_path, blob)
    frames = open_frames(tmp_path / "images.lance")
    assert frames.names == open_frames(tmp_path).names == [f"images/{n:04}" for n in range(N)]
    assert set(frames.table["altitude"]) == {50.0}
    image = frames.paths("tir")[3]
    assert read_bytes(image) == (folder / "tir" / "0003.png").read_bytes()
    assert stored_file(image).size() == (folder / "tir" / "0003.png").stat().st_size
    assert index(frames, tmp_path / "gallery", "hog", options=SMALL).added == 2 * N
    assert_same(tmp_path / "gallery", plain)
    assert index(frames, tmp_path / "gallery", options=SMALL).unchanged == 2 * N
    assert query_image(str(image), "tir")[0] == image
    assert is_image_file(image)
    assert scan(tmp_path / "images.lance").names == frames.names
    with pytest.raises(CrossbandError, match="gone does not exist"):
        open_frames(tmp_path / "images.lance" / "rgb" / "gone")
    with pytest.raises(ImageFault, match="missing"):
        read_bytes(tmp_path / "images.lance" / "tir" / "gone")


def test_a_table_on_a_bucket_is_read_there(bucket, folder):
    write_table(folder, f"{bucket}/tables")
    frames = open_frames(f"{bucket}/tables/images.lance")
    assert read_bytes(frames.paths("rgb")[2]) == (folder / "rgb" / "0002.png").read_bytes()


def test_a_table_is_read_as_it_is_now_and_a_cell_that_is_empty_is_a_missing_band(folder, tmp_path):
    names = tuple(f"drive/{n}" for n in range(N))
    write_table(folder, tmp_path, names=names)
    frames = open_frames(tmp_path)
    assert frames.paths("tir")[0] is None
    assert read_bytes(frames.paths("rgb")[0]) == (folder / "rgb" / "0000.png").read_bytes()
    import_lancedb().connect(str(tmp_path)).open_table("images").delete("frame = 'drive/1'")
    assert len(open_frames(tmp_path)) == N - 1


def test_a_table_of_two_rows_of_a_name_is_refused(folder, tmp_path):
    write_table(folder, tmp_path, names=("a",) * N)
    with pytest.raises(CrossbandError, match="two rows of one frame"):
        open_frames(tmp_path)


@pytest.mark.parametrize(
    ("frames", "told"),
    [([], "has no rows"), (["a", None], "a row without a name"), (["", "b"], "a row without")],
)
def test_a_table_without_rows_or_names_is_refused(tmp_path, frames, told):
    columns = [pa.array(frames, pa.string()), pa.array([b"x"] * len(frames), pa.large_binary())]
    import_lancedb().connect(str(tmp_path)).create_table("images", pa.table(columns, names=["frame", "rgb"]))
    with pytest.raises(CrossbandError, match=told):
        open_frames(tmp_path / "images.lance")


@pytest.mark.parametrize(
    "name",
    ["a//b", "./a", "/a", "a/", "../tir/a", "a/../b", "s3://bucket/key", "0.tar/a", "x.lance/rgb/a", "a\0"],
)
def test_a_row_whose_name_leads_to_another_place_is_refused(tmp_path, name):
    table = pa.table({"frame": [name], "rgb": pa.array([b"x"], pa.large_binary())})
    import_lancedb().connect(str(tmp_path)).create_table("images", table)
    with pytest.raises(CrossbandError, match="has a row called"):
        open_frames(tmp_path / "images.lance")


def test_a_table_of_other_types_and_a_damaged_one_are_told(tmp_path):
    names = pa.array([True])
    table = pa.table({"frame": names, "rgb": pa.array([b"x"], pa.large_binary())})
    import_lancedb().connect(str(tmp_path)).create_table("images", table)
    with pytest.raises(CrossbandError, match="write names as text"):
        open_frames(tmp_path / "images.lance")
    mixed = {"frame": ["a"], "rgb": ["text"], "tir": pa.array([b"x"], pa.large_binary())}
    import_lancedb().connect(str(tmp_path)).create_table("mixed", pa.table(mixed))
    with pytest.raises(CrossbandError, match=r"column rgb of .* holds no bytes"):
        open_frames(tmp_path / "mixed.lance")
    (tmp_path / "damaged.lance" / "_versions").mkdir(parents=True)
    with pytest.raises(CrossbandError, match=r"damaged\.lance is no Lance table"):
        open_frames(tmp_path / "damaged.lance")


def test_a_process_goes_on_with_the_version_that_it_opened(folder, tmp_path):
    write_table(folder, tmp_path)
    frames = open_frames(tmp_path / "images.lance")
    import_lancedb().connect(str(tmp_path)).open_table("images").delete("frame = '0003'")
    assert read_bytes(frames.paths("rgb")[3]) == (folder / "rgb" / "0003.png").read_bytes()
    assert len(open_frames(tmp_path / "images.lance")) == N - 1


def test_a_member_of_a_damaged_tar_file_is_not_there(tmp_path):
    (tmp_path / "0.tar").write_bytes(b"torn")
    assert not is_there(tmp_path / "0.tar" / "a.rgb.png")


def test_rows_may_be_called_by_numbers(folder, tmp_path):
    image = (folder / "rgb" / "0000.png").read_bytes()
    table = pa.table({"frame": [7, 8], "rgb": pa.array([image, image], pa.large_binary())})
    import_lancedb().connect(str(tmp_path)).create_table("images", table)
    frames = open_frames(tmp_path / "images.lance")
    assert (frames.names[0], read_bytes(frames.paths("rgb")[0])) == ("images/7", image)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"size": 6, "blob_uri": "file:///etc/hostname"}, "lies outside"),
        ({"size": 6, "blob_uri": ""}, "cannot be read"),
        ({"other": 6}, "holds no bytes"),
    ],
)
def test_a_cell_that_names_another_file_or_holds_no_image_is_a_fault(tmp_path, value, told):
    import_lancedb().connect(str(tmp_path)).create_table("images", [{"frame": "a", "rgb": value}])
    with pytest.raises(ImageFault, match=told):
        read_bytes(tmp_path / "images.lance" / "rgb" / "a")


def test_a_manifest_in_pieces_gives_the_gallery_of_the_whole(folder, plain, tmp_path):
    table = open_frames(folder).table
    for half, part in (("north", table[:3]), ("south", table[3:])):
        place = folder / "split.parquet" / f"place={half}"
        place.mkdir(parents=True)
        pa.parquet.write_table(pa.Table.from_pandas(part, preserve_index=False), place / "0.parquet")
    pieces = list(open_pieces(folder / "split.parquet", rows=2))
    assert [len(piece) for piece in pieces] == [2, 2, 2]
    assert sorted({place for piece in pieces for place in piece.table["place"]}) == ["north", "south"]
    index_pieces(
        open_pieces(folder / "split.parquet", rows=4), tmp_path / "gallery", model="hog", options=SMALL
    )
    assert index_pieces(open_pieces(folder / "split.parquet"), tmp_path / "gallery").unchanged == 2 * N
    assert vectors(tmp_path / "gallery").keys() == vectors(plain).keys()
    with pytest.raises(CrossbandError, match="is not a manifest of Parquet files"):
        next(open_pieces(tmp_path / "gone.parquet"))
