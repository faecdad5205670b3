import pytest

from crossband.datasets import scan
from crossband.errors import CrossbandError

from .conftest import rows


def test_extracted_frames_are_paired_by_scene(plant):
    root = plant(
        [
            "INO_TreesAndRunner/INO_TreesAndRunner_RGB/000001.png",
            "INO_TreesAndRunner/INO_TreesAndRunner_T/000001.png",
            "INO_GroupFight/INO_GroupFight/INO_GroupFight_C/000001.png",
            "INO_GroupFight/INO_GroupFight/INO_GroupFight_T/000001.png",
            "INO_Crossroads/INO_Crossroads_RGB/000001.png",
        ]
    )
    assert rows(scan(root), "frame", "rgb", "place", "sequence") == [
        (
            "INO_GroupFight/000001",
            "INO_GroupFight/INO_GroupFight/INO_GroupFight_C/000001.png",
            "INO_GroupFight",
            "INO_GroupFight",
        ),
        (
            "INO_TreesAndRunner/000001",
            "INO_TreesAndRunner/INO_TreesAndRunner_RGB/000001.png",
            "INO_TreesAndRunner",
            "INO_TreesAndRunner",
        ),
    ]


def test_frames_without_leading_zeros_stay_in_order(plant):
    root = plant(f"INO_A/INO_A_{band}/{i}.png" for band in ("RGB", "T") for i in (1, 2, 10))
    assert scan(root).names == ["INO_A/1", "INO_A/2", "INO_A/10"]


@pytest.mark.parametrize("nested", ["", "INO_A/"])
def test_videos_alone_say_how_to_extract_their_frames(plant, nested):
    root = plant([f"INO_A/{nested}INO_A_RGB.avi", f"INO_A/{nested}INO_A_T.avi"])
    with pytest.raises(CrossbandError, match=r"ffmpeg"):
        scan(root)
