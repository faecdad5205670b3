"""Detection in pictures, folders and videos: what is written, and that a run goes on where it was."""

from __future__ import annotations

import json
import tarfile

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


def test_pictures_in_color_are_said_and_gray_ones_with_three_channels_are_not(
    checkpoint, folder, tmp_path, capsys
):
    gray = PIL.Image.open(folder / "1.png").convert("RGB")
    gray.save(folder / "1.png")
    dark = np.zeros((48, 64), np.uint8)
    palette = np.stack([np.asarray(gray)[..., 0], dark, dark + 99], 2)
    PIL.Image.fromarray(palette).save(folder / "2.png")
    detect_pictures(folder, checkpoint, tmp_path / "out")
    assert "2 is in color" in capsys.readouterr().err
    (folder / "2.png").unlink()
    detect_pictures(folder, checkpoint, tmp_path / "gray")
    assert "in color" not in capsys.readouterr().err


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
    assert listed_files(tmp_path) == found.frames
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


def boxes_at(*lefts, kind=1):
    return np.array([[left, 10, left + 10, 20, 0.9, kind] for left in lefts], float).reshape(-1, 6)


def counted(shown, video=False):
    """What is counted in pictures of one size that show these boxes."""
    names = [str(row) for row in range(len(shown))]
    stream = object() if video else None
    source = pictures._Source(names, names, lambda row: None, sequence=True, stream=stream)
    return pictures._joined(["person", "car"], source, shown, [[48, 640]] * len(shown), "out")


def test_a_folder_of_unrelated_pictures_counts_every_box(capsys):
    shown = [boxes_at(40 * row, 40 * row + 20) for row in range(6)]
    found = counted(shown)
    assert found.counts == {"person": 0, "car": 12}
    assert len(np.unique(np.concatenate(found.tracks))) == 12
    said = "these pictures hardly show the same objects; each is counted alone\n"
    assert capsys.readouterr().err == said
    assert counted(shown, video=True).counts == {"person": 0, "car": 0}  # no frame shows what another does
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_a_sequence_says_what_is_not_counted(capsys):
    shown = [boxes_at(0, 100), boxes_at(2, 102), boxes_at(4, 300), boxes_at(6)]
    assert counted(shown).counts == {"person": 0, "car": 2}
    assert "each object counts once, and 1 object seen in fewer than 3 pictures" in capsys.readouterr().err


def test_no_fewer_are_counted_than_one_picture_shows(capsys):
    shown = [boxes_at(0), boxes_at(2), np.concatenate([boxes_at(4, 200), boxes_at(300, 400, kind=0)])]
    shown = [*shown, boxes_at(6), boxes_at(8), boxes_at(10)]
    assert counted(shown).counts == {"person": 2, "car": 2}
    assert "and 0 objects" in capsys.readouterr().err
    assert counted([boxes_at(0, 50)]).counts == {"person": 0, "car": 2}
    assert counted([boxes_at(), boxes_at()]).counts == {"person": 0, "car": 0}


def test_a_table_that_is_replaced_is_said(checkpoint, folder, tmp_path, capsys):
    for name, said in (("0.png", False), ("0.png", False), ("1.png", True)):
        detect_pictures(folder / name, checkpoint, tmp_path / "out", least=0.9)
        assert ("another run's boxes" in capsys.readouterr().err) is said
    assert {path.name for path in (tmp_path / "out").glob("*.jpg")} == {"0.jpg", "1.jpg"}


def listed_files(tmp_path):
    return [
        one["file_name"] for one in json.loads((tmp_path / "out" / "detections.json").read_text())["images"]
    ]


def test_coco_names_the_pictures_by_their_files(checkpoint, folder, tmp_path):
    detect_pictures(folder, checkpoint, tmp_path / "out", least=0.9)
    assert listed_files(tmp_path) == ["0.png", "1.png", "2.png"]
    detect_pictures(folder / "1.png", checkpoint, tmp_path / "out", least=0.9)
    assert listed_files(tmp_path) == ["1.png"]


def test_a_folder_without_pictures_is_named(checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(CrossbandError, match=r"no pictures in .*empty; name a folder that has some"):
        detect_pictures(tmp_path / "empty", checkpoint, tmp_path / "out")


def test_pictures_of_one_name_are_told_apart(checkpoint, folder, tmp_path):
    other = tmp_path / "other" / "0.png"
    other.parent.mkdir()
    other.write_bytes((folder / "1.png").read_bytes())
    found = detect_pictures([folder / "0.png", other], checkpoint, tmp_path / "out", least=0.9)
    assert found.frames == ["in/0.png", "other/0.png"]
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 2
    assert listed_files(tmp_path) == ["in/0.png", "other/0.png"]


def test_a_picture_that_is_named_twice_counts_once(checkpoint, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "link.png").symlink_to(folder / "1.png")
    files = ["1.png", "./0.png", folder / "0.png", str(folder / ".." / "in" / "1.png"), folder / "link.png"]
    found = detect_pictures(files, checkpoint, tmp_path / "out", least=0.5)
    assert found.frames == ["1", "0"]
    assert found.counts == {
        name: sum(
            detect_pictures(file, checkpoint, tmp_path / "one", least=0.5).counts[name] for file in files[:2]
        )
        for name in found.counts
    }


def test_pictures_of_one_name_in_a_folder_are_told_apart(checkpoint, folder, tmp_path):
    PIL.Image.open(folder / "1.png").save(folder / "0.bmp")
    found = detect_pictures(folder, checkpoint, tmp_path / "out", least=0.9)
    assert found.frames == ["0.bmp", "0.png", "1.png", "2.png"]


def test_pictures_that_would_be_drawn_into_one_file_are_refused(checkpoint, folder, tmp_path):
    names = ["a/0.png", "b/0.png", "a_0.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((folder / "0.png").read_bytes())
    with pytest.raises(CrossbandError, match=r"a/0\.png and .*a_0\.png would both be drawn into a_0\.png\.jpg"):
        detect_pictures([tmp_path / name for name in names], checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_beside_a_picture_is_refused(checkpoint, folder, tmp_path):
    with pytest.raises(
        CrossbandError, match="in is not a picture; give a folder, a video or a flight as the only"
    ):
        detect_pictures([folder / "0.png", folder], checkpoint, tmp_path / "out")
    with pytest.raises(
        CrossbandError, match=r"no picture, folder or video at .*gone\.png; name one that is there"
    ):
        detect_pictures([folder / "0.png", folder / "gone.png"], checkpoint, tmp_path / "out")
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
        ({"RelativeAltitude": "+60.0", "CalibratedFocalLength": "0.5"}, None),  # 240 m a pixel
        ({"RelativeAltitude": "+2.0", "CalibratedFocalLength": "90000"}, None),
        ({"RelativeAltitude": "+60.0", "CalibratedFocalLength": "9" * 400}, None),
        ({"RelativeAltitude": "9" * 400, "CalibratedFocalLength": "500"}, None),
        (
            {"RelativeAltitude": "+60.0", "CalibratedFocalLength": "500", "GimbalPitchDegree": "-" + "9" * 400},
            0.24,  # nothing is said of where it looked
        ),
        *(
            (
                {"RelativeAltitude": "+60.0", "CalibratedFocalLength": "500", "GimbalPitchDegree": pitch},
                None,
            )
            for pitch in ("+0.0", "+10.0", "-9.9", "-170.0")
        ),
    ],
)
def test_a_picture_says_how_much_ground_a_pixel_shows(tmp_path, said, meters):
    path = said_picture(tmp_path / "a.jpg", (640, 512), **said)
    found = ground_of_picture(path.read_bytes(), (256, 320))
    assert found == (None if meters is None else pytest.approx(meters))


HIGH = {"RelativeAltitude": "+60.0", "CalibratedFocalLength": "500"}


@pytest.mark.parametrize(
    ("known", "meters"),
    [
        ({}, 0.24),
        ({"altitude": 30.0}, 0.12),
        ({"altitude": "30", "focal": 600.0}, 0.05),  # pixels of the thermal image
        ({"pitch": -30.0}, 0.48),
        ({"altitude": float("nan"), "focal": None, "pitch": "unknown"}, 0.24),
        ({"altitude": float("inf")}, 0.24),
        ({"altitude": 0.0}, None),
        ({"pitch": -5.0}, None),
    ],
)
def test_what_is_known_of_a_picture_counts_before_what_it_says(tmp_path, known, meters):
    data = said_picture(tmp_path / "a.jpg", (640, 512), **HIGH).read_bytes()
    assert ground_of_picture(data, (256, 320), known) == (None if meters is None else pytest.approx(meters))


def test_a_picture_that_is_large_or_no_picture_is_read_in_silence(tmp_path, recwarn, monkeypatch):
    said_picture(tmp_path / "a.jpg", (640, 512), **HIGH)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 200_000)  # one that is larger warns
    assert ground_of_picture((tmp_path / "a.jpg").read_bytes(), (512, 640)) == pytest.approx(0.12)
    PIL.Image.new("L", (64, 48)).save(tmp_path / "a.gif")  # a kind that says nothing
    assert ground_of_picture((tmp_path / "a.gif").read_bytes(), (48, 64)) is None
    assert not recwarn.list


def test_a_manifest_and_a_tar_file_say_how_much_ground_a_pixel_shows(checkpoint, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(pictures, "detect_pixels", lambda *a: seen.append(a[-1]) or np.zeros((0, 6)))
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "ab":
        said_picture(folder / f"{name}.jpg", (64, 48), **HIGH)
    rows = "frame,tir,tir_units,altitude,focal\na,a.jpg,counts,30,100\nb,b.jpg,counts,,\n"
    (folder / "frames.csv").write_text(rows)
    detect_pictures(folder, checkpoint, tmp_path / "one")
    assert seen == [pytest.approx(0.3), pytest.approx(0.12)]
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(folder / "a.jpg", "a.jpg")
    detect_pictures(tmp_path / "shard.tar" / "a.jpg", checkpoint, tmp_path / "two")
    assert seen[2:] == [pytest.approx(0.12)]


def test_what_the_user_says_of_the_ground_counts_before_what_the_picture_says(
    checkpoint, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(pictures, "detect_pixels", lambda *a: seen.append(a[-1]) or np.zeros((0, 6)))
    said_picture(tmp_path / "a.jpg", (64, 48), **HIGH)
    detect_pictures(tmp_path / "a.jpg", checkpoint, tmp_path / "one")
    detect_pictures(tmp_path / "a.jpg", checkpoint, tmp_path / "two", meters=0.3)
    assert seen == [pytest.approx(0.12), 0.3]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([None, None], ""),
        ([0.12], "the picture says that a pixel shows 12 cm of ground"),
        ([0.12, None, 0.0951], "2 of 3 pictures say that a pixel shows 9.51 to 12 cm of ground"),
    ],
)
def test_the_ground_that_pictures_tell_is_said(told, said, capsys):
    pictures._say_ground(told)
    written = capsys.readouterr().err
    assert written.startswith(said)
    assert bool(written) == bool(said)


def with_manifest(folder, columns, rows):
    lines = [f"frame,tir,tir_units,{columns}", *(f"{n},{n}.png,counts,{row}" for n, row in enumerate(rows))]
    (folder / "frames.csv").write_text("\n".join(lines) + "\n")
    return folder


def points_of(folder, checkpoint, out, monkeypatch):
    box = np.array([[40.0, 20, 44, 28, 0.9, 1]])  # its middle: 10 right of the image's, in the middle row
    monkeypatch.setattr(pictures, "detect_pixels", lambda *_: box)
    detect_pictures(folder, checkpoint, out)
    path = out / "detections.geojson"
    return json.loads(path.read_text())["features"] if path.is_file() else None


def test_objects_of_frames_with_a_pose_are_points_on_the_ground(checkpoint, folder, tmp_path, monkeypatch):
    known = ["48.5,9.25,50,90,-90,100", "48.5,9.25,,,,", "48.5,9.25,50,0,45,100"]
    with_manifest(folder, "lat,lon,altitude,heading,pitch,focal", known)
    points = points_of(folder, checkpoint, tmp_path / "out", monkeypatch)
    places = [one["properties"]["position"] for one in points]
    assert places == ["on the ground", "of the camera", "of the camera"]  # nothing known; above the horizon
    longitude, latitude = points[0]["geometry"]["coordinates"]
    assert longitude == pytest.approx(9.25, abs=1e-8)  # it looks east at the top: right is south
    assert (48.5 - latitude) * 111_320 == pytest.approx(5.0, abs=1e-3)
    assert points[1]["geometry"]["coordinates"] == [9.25, 48.5]
    assert points[0]["properties"]["class"] == "car"
    (folder / "frames.csv").unlink()
    assert points_of(folder, checkpoint, tmp_path / "out", monkeypatch) is None  # nothing of another run stays


def test_a_pitch_that_is_not_said_looks_straight_down(checkpoint, folder, tmp_path, monkeypatch):
    with_manifest(folder, "lat,lon,altitude,heading,focal", ["48.5,9.25,50,0,100", ",,50,0,100", "48.5,,,,"])
    points = points_of(folder, checkpoint, tmp_path / "out", monkeypatch)
    assert [one["properties"]["position"] for one in points] == ["on the ground", "unknown", "unknown"]
    assert points[1]["geometry"] is None
    scale = 111_320 * np.cos(np.radians(48.5))
    assert (points[0]["geometry"]["coordinates"][0] - 9.25) * scale == pytest.approx(5.0, abs=1e-3)


def test_pages_of_a_tiff_are_the_frames_of_a_video(checkpoint, tmp_path, monkeypatch, capsys):
    av, tifffile = pytest.importorskip("av"), pytest.importorskip("tifffile")
    pages = np.random.default_rng(0).integers(28000, 31000, (4, 48, 64), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    found = detect_pictures(tmp_path / "a.tif", checkpoint, tmp_path / "out", units="centikelvin")
    assert found.frames == ["000000", "000001", "000002", "000003"]
    assert "4 frames, " in capsys.readouterr().err
    with av.open(str(tmp_path / "out" / "annotated.mp4")) as container:
        assert container.streams.video[0].average_rate == 30


def test_frames_that_are_damaged_are_left_out_and_said(checkpoint, tmp_path, capsys):
    from ..flir_file import RAW, camera_info, fff, sized

    whole = fff({1: sized(8, 6, RAW.tobytes()), 32: camera_info()})
    (tmp_path / "a.seq").write_bytes(whole + whole + fff({32: camera_info()}))
    found = detect_pictures(tmp_path / "a.seq", checkpoint, tmp_path / "out", least=0.5)
    assert found.frames == ["000000", "000001"]
    assert "left out: " in capsys.readouterr().err


def test_a_file_that_has_changed_is_looked_at_again(checkpoint, folder, tmp_path, capsys):
    first = detect_pictures(folder / "0.png", checkpoint, tmp_path / "out", least=0.5)
    PIL.Image.open(folder / "1.png").save(folder / "0.png", compress_level=1)
    again = detect_pictures(folder / "0.png", checkpoint, tmp_path / "out", least=0.5)
    assert not np.array_equal(first.boxes[0], again.boxes[0])
    assert "held another run's boxes" in capsys.readouterr().err


def test_pictures_that_would_be_drawn_over_themselves_are_refused(checkpoint, folder):
    PIL.Image.open(folder / "0.png").save(folder / "a.jpg")
    with pytest.raises(CrossbandError, match="choose another folder"):
        detect_pictures(folder / "a.jpg", checkpoint, folder)
