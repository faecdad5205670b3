"""Detection in pictures, folders and videos: what is written, and that a run goes on where it was."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest
import torch

from crossband.checkpoints import write_checkpoint
from crossband.errors import CrossbandError
from crossband.models.center_detector import CenterDetector
from crossband.uav import pictures
from crossband.uav.networks import Detector
from crossband.uav.picture_ground import ground_of_picture
from crossband.uav.pictures import detect_pictures


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small detector with random weights that is sure of much."""
    torch.manual_seed(0)
    network = CenterDetector(2, width=8)
    torch.nn.init.constant_(network.heat[-1].bias, 1.0)
    model = {"name": "center", "width": 8, "semantics": False, "pretrained": False, "zoom": 1.0}
    metadata = {"recipe": {"task": "detection", "model": model}, "classes": ["person", "car"], "priors": []}
    return write_checkpoint(tmp_path_factory.mktemp("net") / "best.safetensors", network, metadata)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(3):
        PIL.Image.fromarray(rng.integers(0, 255, (48, 64), np.uint8)).save(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


@pytest.mark.slow
def test_a_folder_gives_tables_and_pictures_that_agree(checkpoint, folder, tmp_path):
    found = detect_pictures(folder, checkpoint, tmp_path / "out", least=0.5)
    assert found.frames == ["0", "1", "2"]
    assert len(found.to_pandas()) > 0
    coco = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(coco["annotations"]) == len(found.to_pandas())
    first = found.to_pandas().iloc[0]
    x, y, width, _ = coco["annotations"][0]["bbox"]
    assert (x, y) == pytest.approx((first["left"], first["top"]), abs=0.01)
    assert x + width == pytest.approx(first["right"], abs=0.02)
    assert 0 <= first["left"] < first["right"] <= 64
    assert 0 <= first["top"] < first["bottom"] <= 48
    assert (coco["images"][0]["height"], coco["images"][0]["width"]) == (48, 64)
    drawn = PIL.Image.open(tmp_path / "out" / "1.jpg").width
    assert drawn >= 560  # wide enough for the legend
    assert drawn % 64 == 0


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_where_it_was(checkpoint, folder, tmp_path, monkeypatch):
    whole = detect_pictures(folder, checkpoint, tmp_path / "whole")
    real, calls = pictures.detect_pixels, []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(pictures, "detect_pixels", dying)
    with pytest.raises(KeyboardInterrupt):
        detect_pictures(folder, checkpoint, tmp_path / "out")
    again = detect_pictures(folder, checkpoint, tmp_path / "out")
    assert len(calls) == 4  # two, the one that died, and it alone again
    assert again.to_pandas().equals(whole.to_pandas())


@pytest.mark.slow
def test_a_video_is_annotated_frame_by_frame(checkpoint, tmp_path):
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "flight.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        for _ in range(4):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64), np.uint8), format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = detect_pictures(tmp_path / "flight.mkv", checkpoint, tmp_path / "out")
    assert len(found.frames) == 4
    with av.open(str(tmp_path / "out" / "annotated.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


@pytest.mark.slow
def test_pictures_named_one_by_one_are_found_as_each_alone(checkpoint, folder, tmp_path):
    files = [folder / "2.png", folder / "0.png", folder / "2.png"]
    both = detect_pictures(files, checkpoint, tmp_path / "both", least=0.5)
    assert both.frames == ["2", "0"]
    for file, boxes in zip(files, both.boxes, strict=False):
        alone = detect_pictures(file, checkpoint, tmp_path / "alone", least=0.5)
        np.testing.assert_array_equal(alone.boxes[0], boxes)
    numbers = np.concatenate(both.tracks)
    assert len(set(numbers.tolist())) == len(numbers)  # nothing is one object in both
    assert (tmp_path / "both" / "0.jpg").is_file()


@pytest.mark.slow
def test_pictures_of_several_sizes_are_no_sequence(checkpoint, folder, tmp_path, capsys):
    for number in range(3):  # the same picture each time: whatever is found is found again
        PIL.Image.open(folder / "0.png").save(folder / f"{number}.png")
    joined = detect_pictures(folder, checkpoint, tmp_path / "joined", least=0.5)
    assert len(set(np.concatenate(joined.tracks).tolist())) < len(joined.to_pandas())
    assert "no sequence" not in capsys.readouterr().err
    PIL.Image.new("L", (80, 48)).save(folder / "3.png")
    apart = detect_pictures(folder, checkpoint, tmp_path / "apart", least=0.5)
    assert (
        len(set(np.concatenate(apart.tracks).tolist())) == len(apart.to_pandas()) == sum(apart.counts.values())
    )
    assert "no sequence" in capsys.readouterr().err


def test_a_table_that_is_replaced_is_said(checkpoint, folder, tmp_path, capsys):
    for name, said in (("0.png", False), ("0.png", False), ("1.png", True)):
        detect_pictures(folder / name, checkpoint, tmp_path / "out", least=0.9)
        assert ("another run's boxes" in capsys.readouterr().err) is said
    assert {path.name for path in (tmp_path / "out").glob("*.jpg")} == {"0.jpg", "1.jpg"}


def test_pictures_of_one_name_are_told_apart(checkpoint, folder, tmp_path):
    other = tmp_path / "other" / "0.png"
    other.parent.mkdir()
    other.write_bytes((folder / "1.png").read_bytes())
    found = detect_pictures([folder / "0.png", other], checkpoint, tmp_path / "out", least=0.9)
    assert found.frames == ["in/0.png", "other/0.png"]
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 2


def test_a_folder_beside_a_picture_is_refused(checkpoint, folder, tmp_path):
    with pytest.raises(CrossbandError, match="is given alone"):
        detect_pictures([folder / "0.png", folder], checkpoint, tmp_path / "out")
    with pytest.raises(CrossbandError, match="no pictures are given"):
        detect_pictures([], checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_there_is_named(checkpoint, tmp_path):
    with pytest.raises(CrossbandError, match=r"nothing\.jpg"):
        detect_pictures(tmp_path / "nothing.jpg", checkpoint, tmp_path / "out")


@pytest.mark.slow
def test_a_network_that_learned_from_counts_reads_kelvin_by_their_range(checkpoint):
    from dataclasses import replace

    from crossband.uav.networks import read_detector

    counts = np.random.default_rng(0).integers(0, 255, (48, 64)).astype(np.uint8)
    centikelvin = (28000 + 2 * counts.astype(np.uint16)).astype(np.uint16)
    detector = replace(read_detector(checkpoint), units=("counts",))
    torch.testing.assert_close(detector.image(centikelvin, "centikelvin"), detector.image(counts, "counts"))
    both = replace(detector, units=("centikelvin", "counts"))
    assert not torch.allclose(both.image(centikelvin, "centikelvin"), both.image(counts, "counts"))


@pytest.mark.parametrize(
    ("width", "finest", "read"), [(320, 0.065, 640), (640, 0.065, 640), (200, 0.065, 500), (320, None, 320)]
)
def test_a_narrow_picture_whose_height_nobody_knows_is_enlarged_to_what_the_detector_knows(width, finest, read):
    seen = []

    class Looking(CenterDetector):
        def detect(self, images, least=0.05, most=100):
            seen.append(images.shape[-1])
            return [torch.tensor([[0.0, 0.0, images.shape[-1], images.shape[-2], 0.9, 0.0]])]

    detector = Detector(Looking(1, width=8), ["car"], 1.0, "", ("counts",), finest)
    boxes = pictures.detect_pixels(detector, np.zeros((48, width), np.uint8))
    assert seen == [read]
    assert boxes[0, :4] == pytest.approx([0, 0, width, 48])
    pictures.detect_pixels(detector, np.zeros((48, width), np.uint8), meters=0.13)
    assert seen[1] == width * (2 if finest else 1)


def test_a_vehicle_has_one_class_and_a_rider_is_not_the_bicycle():
    class Sure(CenterDetector):
        def detect(self, images, least=0.05, most=100):
            return [
                torch.tensor(
                    [
                        [10.0, 10, 30, 20, 0.9, 1],  # a car
                        [11.0, 10, 31, 20, 0.8, 2],  # the same as another vehicle
                        [26.0, 10, 46, 20, 0.7, 2],  # its neighbor
                        [50.0, 10, 54, 20, 0.6, 0],  # a rider
                        [50.0, 10, 54, 20, 0.5, 3],  # on a bicycle
                    ]
                )
            ]

    detector = Detector(
        Sure(4, width=8), ["Person", "Car", "OtherVehicle", "Bicycle"], 1.0, "", ("counts",), None
    )
    found = pictures.detect_pixels(detector, np.zeros((48, 64), np.uint8))
    assert found[:, 5].tolist() == [1, 2, 0, 3]
    assert found[:, 4] == pytest.approx([0.9, 0.7, 0.6, 0.5])


@pytest.mark.parametrize("meters", [0.0, -1.0, float("nan"), 50.0])
def test_ground_that_no_pixel_shows_is_refused(checkpoint, folder, tmp_path, meters):
    with pytest.raises(CrossbandError, match="a pixel shows more than 0 m"):
        detect_pictures(folder, checkpoint, tmp_path / "out", meters=meters)
    assert not (tmp_path / "out").exists()


def said_picture(path, size, **said):
    """A picture whose XMP says something, as DJI's does."""
    attributes = " ".join(f'drone-dji:{name}="{value}"' for name, value in said.items())
    PIL.Image.new("L", size, 90).save(path, xmp=f"<x:xmpmeta {attributes}/>".encode())
    return path


@pytest.mark.parametrize(
    ("said", "meters"),
    [
        ({"RelativeAltitude": "+60.0", "CalibratedFocalLength": "500"}, 0.24),  # 640 pixels are shown as 320
        ({"RelativeAltitude": "+60.0", "CalibratedFocalLength": "500", "GimbalPitchDegree": "-30.0"}, 0.48),
        ({"RelativeAltitude": "+60.0"}, None),
        ({"RelativeAltitude": "-3.0", "CalibratedFocalLength": "500"}, None),
        ({"CalibratedFocalLength": "500"}, None),
    ],
)
def test_a_picture_says_how_much_ground_a_pixel_shows(tmp_path, said, meters):
    path = said_picture(tmp_path / "a.jpg", (640, 512), **said)
    found = ground_of_picture(path, (256, 320))
    assert found == (None if meters is None else pytest.approx(meters))


def test_what_the_user_says_of_the_ground_counts_before_what_the_picture_says(
    checkpoint, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(pictures, "detect_pixels", lambda *a: seen.append(a[-1]) or np.zeros((0, 6)))
    high = {"RelativeAltitude": "+60.0", "CalibratedFocalLength": "500"}
    said_picture(tmp_path / "a.jpg", (64, 48), **high)
    detect_pictures(tmp_path / "a.jpg", checkpoint, tmp_path / "one")
    detect_pictures(tmp_path / "a.jpg", checkpoint, tmp_path / "two", meters=0.3)
    assert seen == [pytest.approx(0.12), 0.3]
