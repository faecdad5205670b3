"""What each task on whole frames promises: it learns, resumes exactly, scores in range, and keeps test out."""

from __future__ import annotations

import json
import shutil

import numpy as np
import PIL.Image
import pytest
import torch

from crossband.data.scenes import means_by_object
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.training import evaluate, read_recipe, train
from crossband.training.logs import read_log

SMALL = {
    "translation": {
        "model": {"width": 4, "depth": 2},
        "loss": {"width": 4, "layers": 1, "objects": 0.5, "object_weight": 2},
    },
    "labeling": {
        "model": {"width": 4, "depth": 2},
        "loss": {"width": 4, "layers": 1},
        "classes": {"road": 1, "pavement": 2, "grass": 3, "building": 4, "tree": 5, "vehicle": 6},
    },
    "localization": {
        "model": {"pixels": 32, "width": 0.25, "channels": 4},
        "learning": {"made_up": 4},
        "search": {"tile": 48, "stride": 16, "radius": 50, "rough": 30},
        "classes": {"road": 1, "pavement": 2, "grass": 3, "building": 4, "tree": 5, "vehicle": 6},
    },
    "detection": {"model": {"width": 4, "repeats": [1, 1, 1, 1, 1]}, "loss": {"mosaic": 0.5}},
    "center": {
        "model": {"name": "center", "width": 8, "pretrained": False},
        "loss": {"balance": 0.5, "light": 0.5},
        "trainer": {"average": 0.9, "precision": "auto"},
    },
    "mapped": {"model": {"name": "center_map", "width": 8, "pretrained": False}},
    "encoder": {
        "model": {"encoder": "efficientnet_lite0", "width": 8},
        "loss": {"width": 4, "layers": 1, "objects": 0.5, "object_weight": 2},
    },
    "contrast": {
        "model": {
            "encoder": "squeezenet1_1",
            "layer": "features.4",
            "pretrained": False,
            "size": 32,
            "grid": 2,
            "margin": 0.5,
            "normalization": "own",
        },
        "loss": {"classes": 0, "triplet": 0, "contrast": 1, "jitter": 0.1, "light": 0.5},
    },
    "objects": {
        "model": {
            "encoder": "squeezenet1_1",
            "layer": "features.4",
            "pretrained": False,
            "size": 32,
            "neck": True,
        },
        "loss": {"smoothing": 0.1, "center": 1e-3, "erasing": 0.5},
    },
}
SCORES = {
    "translation": "kelvin",
    "labeling": "miou",
    "localization": "median_m",
    "detection": "map50",
    "mapped": "map50",
    "center": "map50",
    "encoder": "kelvin",
    "contrast": "nauc",
    "objects": "nauc",
}
TASKS = {"center": "detection", "mapped": "detection", "encoder": "translation", "contrast": "objects"}
"""Of the variants that are not named as their task."""


def made(recipe, task, **changes):
    content = recipe(TASKS.get(task, task), **{**SMALL[task], **changes})
    if content["task"] == "objects":  # the third flight is by night
        content["data"]["test"] = {"all": {"frames": "world", "where": {"sequence": ["flight1"]}}}
        content["data"]["val"] = {"frames": "world", "where": {"sequence": ["flight0"]}}
    return content


@pytest.mark.slow
@pytest.mark.parametrize("task", SMALL)
def test_a_task_trains_selects_on_val_and_is_measured(recipe, world, tmp_path, task):
    done = train(read_recipe(made(recipe, task)), (), tmp_path, data_root=world)
    rows = read_log(tmp_path)
    losses = [float(value) for _, _, name, value in rows if name == "train/loss"]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert done.best == max(float(value) for _, _, name, value in rows if name == done.monitor)
    scores = evaluate(None, done.checkpoint, data_root=world).tests["all"]
    assert np.isfinite(scores[SCORES[task]])
    assert evaluate(None, done.checkpoint, data_root=world).tests["all"] == scores


@pytest.mark.slow
def test_a_detector_that_reads_a_map_says_that_there_is_none_and_leaves_no_folder(recipe, world, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(world, bare, ignore=shutil.ignore_patterns("map"))
    with pytest.raises(CrossbandError, match="no map in"):
        train(read_recipe(made(recipe, "mapped")), (), tmp_path / "run", data_root=bare)
    assert not (tmp_path / "run").exists()
    (tmp_path / "own").mkdir()
    with pytest.raises(CrossbandError, match="no map in"):
        train(read_recipe(made(recipe, "mapped")), (), tmp_path / "own", data_root=bare)
    assert (tmp_path / "own").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ({"south": -1.0}, "is off the map, which reaches from"),
        ({"row": {"lat": 48.0}}, "rough position 48.000000, .* is off the map"),
        ({"row": {"altitude": None}}, "no metadata altitude"),
    ],
)
def test_a_detector_that_reads_a_map_has_every_frame_on_it_before_it_trains(
    recipe, world, tmp_path, monkeypatch, harm, words
):
    """The map of another town, or one frame elsewhere, would be read as unknown ground."""
    shutil.copytree(world, tmp_path / "in")
    place = tmp_path / "in" / "world"
    if "south" in harm:
        about = json.loads((place / "map" / "tiles.json").read_text())
        for tile in about["tiles"]:
            tile["south"] += harm["south"]
        (place / "map" / "tiles.json").write_text(json.dumps(about))
    else:
        frames = Frames.read(place / "frames.parquet")
        last = frames.table.index[frames.table["sequence"] == "flight1"][-1]
        for name, value in harm["row"].items():
            frames.table.loc[last, name] = value
        frames.write(place / "frames.parquet")
    monkeypatch.setattr("crossband.data.scenes.Scenes.thermal", lambda *_: pytest.fail("pixels are read"))
    with pytest.raises(CrossbandError, match=words):
        train(read_recipe(made(recipe, "mapped")), (), tmp_path / "run", data_root=tmp_path / "in")
    assert not (tmp_path / "run").exists()


class Killed(BaseException):
    """A death in the middle."""


@pytest.mark.slow
@pytest.mark.parametrize("task", ["translation", "detection", "center"])
def test_a_run_that_was_killed_ends_with_the_weights_of_one_left_alone(
    recipe, world, tmp_path, monkeypatch, task
):
    from crossband.training import engine
    from crossband.training.task import find_task

    content, measured = read_recipe(made(recipe, task)), []

    def channels_last(task, batch):  # what a measurement finds differs from one to the next
        measured.append(1)
        task.network.to(memory_format=torch.channels_last)
        return engine.Setting("32-true", channels_last=True)

    monkeypatch.setattr(engine, "quickest", channels_last)
    train(content, (), tmp_path / "whole", data_root=world)
    kind, calls = find_task(content.task).build, []
    loss = kind.loss

    def dying(self, batch):
        calls.append(1)
        if len(calls) == 5:
            raise Killed
        return loss(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "loss", dying)
        with pytest.raises(Killed):
            train(content, (), tmp_path / "killed", data_root=world)
    train(content, (), tmp_path / "killed", data_root=world)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "killed")]
    for part in ("network", "criterion"):  # the discriminators are in the criterion
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name
    assert len(measured) == (2 if content.trainer.precision == "auto" else 0)  # the run that goes on keeps it


@pytest.mark.slow
def test_the_discriminators_are_trained_and_not_kept(recipe, world, tmp_path):
    from safetensors.torch import load_file

    done = train(read_recipe(made(recipe, "translation")), (), tmp_path, data_root=world)
    assert not [name for name in load_file(done.checkpoint) if "judge" in name]
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert [name for name in state["criterion"] if "judge" in name]
    assert tuple(state["optimizer"]["param_groups"][0]["betas"]) == (0.5, 0.999)


def test_val_may_not_be_test(recipe):
    content = made(recipe, "detection")
    content["data"]["test"]["again"] = content["data"]["val"]
    with pytest.raises(CrossbandError, match="test"):
        read_recipe(content)


def test_frames_without_what_a_task_needs_are_named(recipe, world, tmp_path):
    from crossband.frames import Frames

    folder = tmp_path / "other"
    folder.mkdir()
    frames = Frames.read(world / "world" / "frames.parquet")
    Frames.make(frames.table.drop(columns=["instances"]), frames.root).write(folder / "frames.parquet")
    content = made(recipe, "translation")
    content["data"]["train"] = {"frames": "other"}
    with pytest.raises(CrossbandError, match="instances"):
        train(read_recipe(content), (), tmp_path / "out", data_root=tmp_path)


def test_the_first_stage_is_compared_with_the_mean_of_each_object():
    kelvin = torch.tensor([[[280.0, 284.0, 300.0], [290.0, 290.0, 310.0]]])
    objects, classes = torch.tensor([[0, 0, 5], [0, 0, 5]]), torch.tensor([[1, 1, 6], [2, 2, 6]])
    assert means_by_object(kelvin, objects, classes).tolist() == [
        [[282.0, 282.0, 305.0], [290.0, 290.0, 305.0]]
    ]


@pytest.mark.slow
def test_the_last_stride_of_a_resnet_can_be_taken_away():
    from crossband.models import create_encoder
    from crossband.uav.tasks.objects import keep_resolution

    encoder = create_encoder("resnet50", pretrained=False)
    keep_resolution(encoder)
    assert encoder(torch.zeros(1, 3, 64, 64)).shape[-2:] == (4, 4)


@pytest.mark.slow
def test_a_labeling_starts_from_an_imagenet_encoder_and_is_read_again(recipe, world, tmp_path):
    from crossband.uav.networks import read_labeler
    from crossband.uav.stages import label_image

    content = made(recipe, "labeling")
    content["model"] = {"encoder": "efficientnet_lite0", "width": 8}
    content["loss"] = {"adversarial": 0}
    content["trainer"]["epochs"] = 1
    done = train(read_recipe(content), (), tmp_path, data_root=world)
    found = label_image(read_labeler(done.checkpoint), np.full((48, 64), 29000, np.uint16), "centikelvin")
    assert found.shape == (48, 64)


def test_an_object_is_learned_from_all_hours_of_its_day_and_in_color_from_those_with_light(world):
    from crossband.data.scenes import Scenes
    from crossband.uav.tasks.objects import _seen_twice

    frames = Frames.read(world / "world" / "frames.parquet")
    night = frames.table["condition"] == "night"
    one_day = frames.assign(day="0")
    assert night.any()
    scenes = Scenes(one_day)
    for seen in _seen_twice(scenes):
        assert not night.to_numpy()[[row for row, _ in seen.color]].any()
        assert {int(scenes.boxes[row][number][5]) for row, number in [*seen.color, *seen.thermal]} == {
            int(scenes.boxes[seen.color[0][0]][seen.color[0][1]][5])
        }
    spans = [{frames.table["sequence"].iloc[row] for row, _ in seen.thermal} for seen in _seen_twice(scenes)]
    assert max(map(len, spans)) > 1
    assert all(
        len({frames.table["sequence"].iloc[row] for row, _ in seen.thermal}) == 1
        for seen in _seen_twice(Scenes(frames))
    )


def test_contrast_is_least_where_each_color_crop_is_nearest_its_own_thermal_crop():
    from crossband.losses import paired_contrastive_loss as contrast

    generator = torch.Generator().manual_seed(0)
    color, other = torch.randn(2, 8, 16, generator=generator)
    own = torch.eye(8, dtype=torch.bool)
    right = contrast(torch.stack([color, color], 1), own, 0.1)
    assert right < 0.01 < contrast(torch.stack([color, other], 1), own, 0.1)
    # the same object twice in a batch is no negative of itself
    twice = torch.stack([color, color], 1)[[0, 0, 1]]
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    assert contrast(twice, same, 0.1) < 0.01 < contrast(twice, torch.eye(3, dtype=torch.bool), 0.1)


def test_frames_from_high_up_are_enlarged_for_a_detector_and_scaled_by_their_own_range(recipe, world):
    from crossband.training.task import find_task

    content = made(recipe, "center")
    content["model"] |= {"finest": 0.4, "levels": "range"}
    parsed = read_recipe(content)
    task = find_task("detection").build(parsed, world)
    # 40 m up, 60 pixels of focal length: two thirds of a meter a pixel
    assert task._zoom(task.train, 0) == pytest.approx(40 / 60 / 0.4)
    assert task.metadata()["units"] == ["counts"]
    image = task._image(task.train, 0)
    low, high = np.percentile(image.numpy(), (1, 99))
    assert high - low == pytest.approx(4, rel=0.05)


def test_each_frame_is_read_with_the_map_of_its_own_city(recipe, world, tmp_path):
    import shutil

    from crossband.training.task import find_task

    for name in ("here", "there"):
        shutil.copytree(world / "world", tmp_path / name)
    flat = tmp_path / "there" / "map"
    for picture in flat.glob("*.png"):  # a city that is all grass
        with PIL.Image.open(picture) as image:
            PIL.Image.new(image.mode, image.size, 3).save(picture)
    content = made(recipe, "mapped")
    content["data"]["train"] = {"frames": "here", "also": [{"frames": "there"}]}
    for part in (content["data"]["val"], *content["data"]["test"].values()):
        part["frames"] = "here"
    task = find_task("detection").build(read_recipe(content), tmp_path)
    cities = task.train.frames.table["tir"].str.split("/").str[0].tolist()
    grounds = {city: task._image(task.train, cities.index(city))[1:] for city in ("here", "there")}
    assert (grounds["here"].amax((1, 2)) > 0).sum() > 2
    assert (grounds["there"].amax((1, 2)) > 0).sum() == 1


@pytest.mark.parametrize("image", ["a.png", "tir/a.png", "images/tir/a.png", "city/flight1/tir/a.png"])
def test_a_map_is_looked_for_beside_an_image_and_never_above_its_frames(tmp_path, image):
    from crossband.uav.tasks.detection import _city_of

    root = tmp_path / "outside" / "frames"
    for folder in (tmp_path, tmp_path / "outside", root, root / "city"):
        (folder / "map").mkdir(parents=True)
        (folder / "map" / "tiles.json").touch()
    assert _city_of(root, image) == (root / "city" if image.startswith("city") else root)
    (root / "map" / "tiles.json").unlink()
    assert _city_of(root, image) in (root, root / "city")


def test_pairs_show_an_object_alone_what_is_around_it_or_its_place(recipe, world):
    from crossband.training.task import find_task
    from crossband.uav.object_descriptor import MARGIN

    content = made(recipe, "contrast")
    content["loss"] = {**content["loss"], "bare": 0.3, "place": 0.2}
    task = find_task("objects").build(read_recipe(content), world)
    generator = torch.Generator().manual_seed(0)
    drawn = [task._margin(generator) for _ in range(2000)]
    shares = [np.mean(np.isclose(drawn, margin)) for margin in (MARGIN, 0.5, 1.0)]
    assert shares == pytest.approx([0.3, 0.5, 0.2], abs=0.04)
    content["loss"]["bare"] = 0.9
    with pytest.raises(CrossbandError, match="at most 1"):
        read_recipe(content)
