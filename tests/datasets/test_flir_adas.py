import json

import pytest

from crossband.datasets import scan
from crossband.errors import CrossbandError

from .conftest import rows


def test_version_1_pairs_eight_bit_thermal_and_color(plant, capsys):
    tree = ["train/RGB/FLIR_00001.jpg", "train/thermal_8_bit/FLIR_00001.jpeg"]
    tree += ["train/thermal_8_bit/FLIR_00002.jpeg", "train/thermal_16_bit/FLIR_00001.tiff"]
    tree += ["video/RGB/FLIR_video_00001.jpg", "video/thermal_8_bit/FLIR_video_00001.jpeg"]
    frames = scan(plant(tree))
    assert rows(frames.select([0, 1]), "frame", "rgb", "tir", "split") == [
        ("test/FLIR_video_00001", tree[4], tree[5], "test"),
        ("train/FLIR_00001", tree[0], tree[1], "train"),
    ]
    assert frames.table["rgb"].isna().tolist() == [False, False, True]
    assert frames.table["sequence"].dropna().tolist() == ["video"]
    assert "1 of 3 frames have only one band" in capsys.readouterr().err


def version_2(plant, content: str):
    root = plant(
        [
            "video_rgb_test/data/video-BzZ-frame-000745-SSC.jpg",
            "video_rgb_test/data/video-BzZ-frame-000746-AAA.jpg",
            "video_thermal_test/data/video-4fi-frame-000745-L6K.jpg",
            "video_thermal_test/data/video-4fi-frame-000746-BBB.jpg",
            "images_rgb_train/data/video-x-frame-000001-y.jpg",
            "images_thermal_train/data/video-z-frame-000001-w.jpg",
        ]
    )
    (root / "rgb_to_thermal_vid_map.json").write_text(content)
    return root


def test_version_2_pairs_the_videos_by_the_published_map(plant):
    pairs = {
        "video-BzZ-frame-000745-SSC.jpg": "video-4fi-frame-000745-L6K.jpg",
        "video-BzZ-frame-000746-AAA.jpg": "video-4fi-frame-000746-BBB.jpg",
    }
    frames = scan(version_2(plant, json.dumps(pairs)))
    assert rows(frames, "frame", "rgb", "tir", "split", "sequence") == [
        (
            "test/" + rgb.removesuffix(".jpg"),
            f"video_rgb_test/data/{rgb}",
            f"video_thermal_test/data/{tir}",
            "test",
            "video-BzZ",
        )
        for rgb, tir in pairs.items()
    ]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '"text"'])
def test_a_map_that_is_none_is_one_sentence(plant, content):
    with pytest.raises(CrossbandError, match=r"rgb_to_thermal_vid_map\.json"):
        scan(version_2(plant, content))


def test_the_aligned_version_takes_its_splits_from_the_lists(plant):
    tree = [f"JPEGImages/FLIR_0000{i}_{end}" for i in (2, 9) for end in ("RGB.jpg", "PreviewData.jpeg")]
    root = plant(tree)
    (root / "align_train.txt").write_text("FLIR_00002_PreviewData\n")
    (root / "align_validation.txt").write_text("FLIR_00009_PreviewData\n")
    assert rows(scan(root), "frame", "rgb", "tir", "split") == [
        ("FLIR_00002", tree[0], tree[1], "train"),
        ("FLIR_00009", tree[2], tree[3], "val"),
    ]
