import pytest

from crossband.datasets import scan

from .conftest import rows


@pytest.mark.parametrize(("color", "thermal"), [("v", "i"), ("", "")])
def test_a_sequence_is_a_place_and_numbers_pair_its_frames(plant, color, thermal):
    root = plant(
        f"{sequence}/{file}"
        for sequence in ("car", "vivid")
        for file in (f"color/00000001{color}.jpg", f"ir/00000001{thermal}.jpg", "groundtruth.txt")
    )
    assert rows(scan(root), "frame", "rgb", "tir", "split", "place", "sequence") == [
        (
            f"{name}/00000001",
            f"{name}/color/00000001{color}.jpg",
            f"{name}/ir/00000001{thermal}.jpg",
            "test",
            name,
            name,
        )
        for name in ("car", "vivid")
    ]


def test_every_nth_frame_is_counted_within_a_sequence(plant):
    root = plant(
        f"{sequence}/{file}"
        for sequence in ("a", "b")
        for i in range(1, 6)
        for file in (f"color/0000000{i}v.jpg", f"ir/0000000{i}i.jpg", "groundtruth.txt")
    )
    assert scan(root, every=4).names == ["a/00000001", "a/00000005", "b/00000001", "b/00000005"]
