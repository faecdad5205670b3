import pytest

from crossband.datasets import scan

from .conftest import rows


def sequence(path: str, n: int = 2) -> list[str]:
    frames = [f"{path}/{band}/{i:06d}.jpg" for band in ("rgb", "ir") for i in range(n)]
    return [*frames, f"{path}/rgb.txt", f"{path}/ir.txt"]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train_ST_001/bus_017", "train"),
        ("test_LT/test_LT_002/bus_017", "test"),
        ("train/bus_017", "train"),
        ("bus_017", None),
    ],
)
def test_archives_are_read_at_every_depth(plant, path, split):
    frames = scan(plant(sequence(path)))
    assert rows(frames, "frame", "rgb", "tir", "place", "sequence")[1] == (
        f"{path}/000001",
        f"{path}/rgb/000001.jpg",
        f"{path}/ir/000001.jpg",
        "bus_017",
        "bus_017",
    )
    assert frames.has("split") == (split is not None)
    assert split is None or set(frames.table["split"]) == {split}


def test_the_name_of_the_root_tells_the_split_too(plant, tmp_path):
    root = plant(sequence("bus_017"), root=tmp_path / "test_ST_003")
    assert set(scan(root).table["split"]) == {"test"}


def test_a_sequence_in_two_archives_is_read_once(plant, capsys):
    frames = scan(plant(sequence("train_ST_004/a") + sequence("train_ST_006/a") + sequence("test_ST_001/a")))
    assert rows(frames.every(2), "frame", "split") == [
        ("test_ST_001/a/000000", "test"),
        ("train_ST_004/a/000000", "train"),
    ]
    assert "train_ST_006/a repeats train_ST_004/a and is left out" in capsys.readouterr().err
