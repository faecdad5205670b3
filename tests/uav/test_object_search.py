"""A photograph searched by the packaged networks: objects with probabilities, with a map and without."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from crossband.checkpoints import write_checkpoint
from crossband.cli import app
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.io import read_image
from crossband.io.boxes import read_boxes
from crossband.models import create_encoder
from crossband.uav import object_descriptor, pipeline, sequence_stage
from crossband.uav.answer import ellipse
from crossband.uav.object_class import ObjectClasses, read_object_classes
from crossband.uav.object_descriptor import MARGIN, ObjectDescriptor, View, load_object_descriptor
from crossband.uav.object_ranking import (
    Evidence,
    Known,
    RankWeights,
    fit_weights,
    object_probabilities,
    similarity,
)
from crossband.uav.projection import Pose
from crossband.uav.semantic_map import SemanticMap
from crossband.uav.stages import StageFile, write_png
from crossband.uav.tasks.objects import ObjectNetwork

from .conftest import CLASSES


def evidence(alike: list[float], **changes) -> Evidence:
    n = len(alike)
    columns = {"score": np.full(n, 0.5), "length": np.zeros(n), "seen": np.ones(n), **changes}
    return Evidence(alike=np.array(alike), **columns)


def test_probabilities_sum_to_that_of_being_there():
    weights = RankWeights((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), {"around": (1.0, 0.0, -5.0)})
    each, there = object_probabilities(evidence([0.9, 0.2, 0.1]), weights)
    assert each.sum() == pytest.approx(there)
    assert each.argmax() == 0
    assert object_probabilities(evidence([]), weights) == (pytest.approx([]), 0.0)


def test_an_encoder_is_cut_behind_its_layer_and_whole_weights_load_as_before():
    encoder = create_encoder("efficientnet_lite0", pretrained=False)
    whole = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    network = ObjectNetwork(create_encoder("efficientnet_lite0", pretrained=False), "blocks.2", False, 32)
    assert (
        sum(value.numel() for value in network.state_dict().values())
        < sum(v.numel() for v in whole.values()) / 5
    )
    network.load_state_dict({**network.state_dict(), **whole})
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, whole[f"encoder.{name}"]), name


def test_objects_of_a_class_that_the_photograph_hardly_shows_come_later():
    weights = RankWeights((1.0, 0.0, 0.0, 0.0, 0.0, 0.5), {"around": (1.0, 0.0, -5.0)})
    told = evidence([0.5, 0.5, 0.5], kind=np.array([0.9, 0.08, 0.001]))
    each, _ = object_probabilities(told, weights)
    assert each[0] > each[1] > each[2]
    assert each[0] / each[2] == pytest.approx((0.9 / 0.02) ** 0.5)  # no class is ruled out
    assert each[0] / each[1] == pytest.approx((0.9 / 0.08) ** 0.5)


def test_a_photographs_class_is_told_in_the_words_of_a_detector():
    kinds = ObjectClasses(("person", "car"), {View.BARE: np.array([[9.0, 0, 0], [0, 9, 0]])}, "")
    likely = kinds.likely(
        {View.BARE: np.array([[0.0, 1.0], [0.0, 1.0]])}, ["Car", "Person", "OtherVehicle", "Boat"]
    )
    assert likely[0] == likely[2] > 0.99 > 0.01 > likely[1]
    assert likely[3] == 1


def test_classes_were_learned_for_the_descriptor_that_ships(tmp_path):
    kinds = read_object_classes()
    assert kinds.made_by == load_object_descriptor().digest
    kinds.write(tmp_path / "a.safetensors")
    again = read_object_classes(tmp_path / "a.safetensors")
    assert again.names == kinds.names == ("person", "car", "bicycle", "dog")
    for view in (View.BARE, View.AROUND):
        assert np.array_equal(again.weights[view], kinds.weights[view])


def test_weights_learn_what_tells_the_right_object():
    rng = np.random.default_rng(0)

    def draw(there: bool) -> Evidence:
        alike = rng.normal(0.2, 0.1, 8)
        alike[3] += 0.5 * there
        return evidence(alike.tolist(), score=rng.uniform(0.2, 0.9, 8))

    weights = fit_weights([Known(draw(there), 3 if there else None) for there in [True, False] * 40])
    assert weights.share[0] > 0.5
    sure = [object_probabilities(draw(there), weights)[1] for there in (True, False) for _ in range(30)]
    assert np.mean(np.array(sure[:30]) > 0.5) > 0.8
    assert np.mean(np.array(sure[30:]) < 0.5) > 0.8


def test_a_place_tells_whether_an_object_is_there_where_what_is_around_it_does_not():
    rng = np.random.default_rng(0)

    def draw(there: bool) -> Evidence:
        alike, place = rng.normal(0.4, 0.1, (2, 8))
        place[5] += 0.4 * there
        return evidence(alike.tolist(), place=place)

    known = [Known(draw(there), 5 if there else None) for there in [True, False] * 40]
    weights = fit_weights([*known, *(Known(one.evidence.without_place(), one.right) for one in known)])
    assert set(weights.there) == {"place", "around"}
    draws = [(draw(there), there) for there in [True, False] * 30]
    right = [(object_probabilities(one, weights)[1] > 0.5) == there for one, there in draws]
    guessed = [(object_probabilities(one.without_place(), weights)[1] > 0.5) == there for one, there in draws]
    assert np.mean(right) > 0.85 > 0.7 > np.mean(guessed)


def test_photographs_count_as_much_as_they_weigh():
    rng = np.random.default_rng(0)
    known = []
    for there in [True, False] * 20:
        alike = rng.normal(0.3, 0.1, 4)
        alike[0] += 0.3 * there
        known.append(Known(evidence(alike.tolist()), 0 if there else None))
    misled = [Known(one.evidence, None if one.right == 0 else 0, 1e-9) for one in known]
    assert fit_weights([*known, *misled]).share == pytest.approx(fit_weights(known).share, abs=1e-3)
    twice, heavy = (
        fit_weights([*known, *known[:10]]),
        fit_weights([*(Known(k.evidence, k.right, 2.0) for k in known[:10]), *known[10:]]),
    )
    assert twice.share == pytest.approx(heavy.share, abs=1e-3)


def test_an_object_is_as_alike_as_the_better_half_of_its_boxes():
    asked = np.array([[1.0, 0.0], [0.0, 1.0]])
    boxes = np.array([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0], [-1.0, 0.0]])
    assert similarity(asked, [boxes]) == pytest.approx([(1.0 + 0.8) / 2])


@pytest.mark.slow
def test_a_packaged_descriptor_of_objects_gives_its_networks_vectors(tmp_path, monkeypatch):
    model = {"encoder": "squeezenet1_1", "neck": True, "size": 32}
    encoder = create_encoder("squeezenet1_1", pretrained=False)
    network = ObjectNetwork(encoder, encoder.check_layer(None), True, 32)
    path = write_checkpoint(
        tmp_path / "a.safetensors", network, {"recipe": {"task": "objects", "model": model}}
    )
    monkeypatch.setattr(object_descriptor, "packaged_path", lambda task: path)
    found = load_object_descriptor()
    assert (found.margin, found.size) == (MARGIN, 32)
    crops = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        assert found(crops) == pytest.approx(network.eval()(crops).numpy(), abs=1e-5)


def test_an_ellipse_points_along_the_larger_error():
    long, short, bearing = ellipse([8.0, 0.0, 2.0])
    assert bearing == pytest.approx(90)
    assert long / short == pytest.approx(2)


@pytest.fixture
def seen(world, monkeypatch):
    """The chain with true boxes and true labels in place of the networks that find them."""
    table = np.zeros(256, np.uint8)
    for name, number in CLASSES.items():
        table[number] = 5 if name == "vehicle" else number - 1
    root = world / "world"
    frames = Frames.read(root / "frames.parquet")
    boxes = dict(zip(frames.names, read_boxes(frames).rows, strict=True))

    def found(flight, detector, out, labels=None, least=0.2):
        stage = StageFile(out / "detections.jsonl", {"flight": flight.digest})
        rows = [np.c_[boxes[name][:, :4], np.full((len(boxes[name]), 2), (0.9, 1.0))] for name in flight.names]
        stage.run(flight.names, lambda row: {"boxes": rows[row].tolist()})
        return rows

    monkeypatch.setattr(pipeline, "detect", found)
    return root, lambda flight, row: table[read_image(root / "semantic" / f"{flight.names[row]}.png").pixels]


@pytest.mark.slow
def test_a_photograph_is_found_as_an_object_seen_in_several_frames(photo, seen, tmp_path, monkeypatch):
    root, labels = seen

    def label_flight(flight, labeler, out):
        return [write_png(out / "ground" / f"{row}.png", labels(flight, row)) for row in range(len(flight))]

    monkeypatch.setattr(sequence_stage, "label_flight", label_flight)
    out = tmp_path / "out"

    def search():
        one = {"where": {"sequence": ["flight0"]}, "box": (4, 4, 28, 22)}
        return pipeline.reid(photo, root, root, out=out, **one)

    result = search()
    assert result.method == "objects"
    assert 1 <= result.n_objects <= 8
    assert max(len(one.sightings) for one in result.matches) >= 2
    assert sum(one.probability for one in result.matches) == pytest.approx(result.probability)
    truth = json.loads((root / "boxes.json").read_text())["annotations"]
    assert len({one["instance"] for one in truth}) >= result.n_objects
    features = json.loads((out / "matches.geojson").read_text())["features"]
    assert len(features[0]["properties"]["ellipse_90"]) == 3
    marks = ElementTree.parse(out / "matches.kml").getroot().findall(".//{*}LineString")
    assert len(marks) == len(features)
    assert pd.read_csv(out / "matches.csv")["probability"].tolist() == pytest.approx(
        [one.probability for one in result.matches]
    )
    page = (out / "report.html").read_text()
    assert "data:image/png" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    for name in (
        "positions",
        "detections",
        "bare",
    ):  # the photograph is a cut-out; killed in the middle of a line of each
        path = out / f"{name}.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:-2]) + lines[-2][:20])
        assert search() == result
        assert path.read_text() == "".join(lines)


@pytest.mark.slow
def test_a_photograph_that_shows_a_place_is_compared_by_it_and_resumes(seen, tmp_path, monkeypatch):
    root = seen[0]
    told = json.loads((root / "boxes.json").read_text())
    shown = min(told["annotations"], key=lambda one: abs(one["bbox"][0] - 27) + abs(one["bbox"][1] - 20))
    photo = next(one["file_name"] for one in told["images"] if one["id"] == shown["image_id"])
    left, top, width, height = shown["bbox"]
    compared = []

    def comparing(objects, vectors, asked, length, likely):
        assert likely.shape == (5,)
        assert 0 < likely.min() <= likely.max() <= 1
        compared.append({view: len(vectors[view]) for view in asked})
        return honest(objects, vectors, asked, length, likely)

    honest = pipeline.compare
    monkeypatch.setattr(pipeline, "compare", comparing)

    def search():
        return pipeline.reid(
            root / photo,
            root,
            out=tmp_path,
            where={"sequence": ["flight1"]},
            box=(left, top, left + width, top + height),
        )

    first = search()
    assert set(compared[0]) == {View.AROUND, View.PLACE}
    place = tmp_path / "places.jsonl"
    before = place.read_text()
    place.unlink()
    assert search() == first
    assert place.read_text() == before
    assert not (tmp_path / "bare.jsonl").exists()


def test_each_view_of_a_photograph_is_compared_with_that_view_of_the_boxes():
    from crossband.uav.ground_objects import GroundObject
    from crossband.uav.object_stage import FlightObjects

    both = [GroundObject(0, 0.0, 0.0, np.eye(2), 0.9, ((0, number),)) for number in (0, 1)]
    boxes = np.array([[20.0, 20, 30, 24, 0.9, 0], [30.0, 20, 40, 24, 0.9, 0]])
    objects = FlightObjects(
        [Pose(0, 0, 50, heading=0, pitch=-90, focal=100, height=48, width=64)], [boxes], both
    )
    near, far = np.eye(2)
    vectors = {View.AROUND: [np.stack([near, far])], View.PLACE: [np.stack([far, near])]}
    asked = {view: np.stack([near] * 4) for view in vectors}
    distances, said = pipeline.compare(objects, vectors, asked, None)
    assert said.alike.tolist() == [1.0, 0.0]
    assert said.place.tolist() == [0.0, 1.0]
    assert distances[0].tolist() == [0.0, 1.0]
    assert (said.view, said.widest) == (View.AROUND, View.PLACE)


@pytest.mark.slow
def test_without_a_map_positions_are_those_of_the_flight(photo, seen, tmp_path, capsys):
    root, _ = seen
    result = pipeline.reid(photo, root, out=tmp_path / "out", where={"sequence": ["flight0"]})
    assert "no map was given" in capsys.readouterr().err
    first = result.matches[0]
    assert 48.699 < first.lat < 48.702
    assert first.covariance[0] > 100  # nobody has said how wrong the positions are


def test_a_map_of_another_town_and_one_that_ends_inside_the_flight_are_told(capsys):
    ground = SemanticMap(np.zeros((100, 100), np.uint8), 1.0, 48.7, 9.1)
    with pytest.raises(CrossbandError, match=r"no frame of the flight is over the map: .* 4\.9 km off it"):
        sequence_stage._check_over([(5000.0, 50.0), (6000.0, 50.0)], ground, 60.0)
    sequence_stage._check_over([(50.0, 50.0), (500.0, 50.0)], ground, 60.0)
    assert "ends inside the flight: 1 of 2 frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--method", "equation1"], "localizes by a map"),
        (["--method", "guess"], "guess"),
        (["--clock", "3"], "clock"),
        (["--lens", "a,b"], "a lens is numbers"),
        (["--gallery", "x"], "give one of the two"),
    ],
)
def test_what_does_not_go_together_is_one_sentence_and_status_2(photo, world, tmp_path, given, words):
    asked = ["reid", str(photo), "--flight", str(world / "world"), "--out", str(tmp_path / "out"), *given]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 2 or isinstance(answer.exception, CrossbandError)
    assert words in answer.output or words in str(answer.exception)


@pytest.mark.parametrize(
    ("box", "views"),
    [
        ((45, 45, 55, 55), {"around": 1.0, "place": 2.0}),
        ((35, 35, 65, 65), {"around": 1.0, "place": 2.0}),
        ((25, 25, 75, 75), {"around": 1.0}),
        ((5, 5, 95, 95), {"bare": MARGIN}),
        ((0, 0, 20, 20), {"around": 1.0, "place": 2.0}),
    ],
)
def test_a_photograph_is_compared_in_the_views_that_it_shows_enough_of(box, views):
    from crossband.uav.translate import Photograph

    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 100, 100, generator=generator)
    descriptor = ObjectDescriptor(lambda crops: crops.flatten(1), 16, 1.0, "", "cpu")
    found = pipeline.photograph_views(Photograph(image, box), descriptor)
    assert set(found) == set(views)
    for view, margin in views.items():
        crop = object_descriptor.crop_around(image, box, 16, margin)
        assert found[view][0] == pytest.approx((crop / crop.norm()).flatten().numpy(), abs=1e-5)


def test_boxes_are_described_in_each_view(seen, tmp_path):
    from crossband.uav.flight import open_flight
    from crossband.uav.object_descriptor import thermal_crops
    from crossband.uav.object_stage import describe

    flight = open_flight(seen[0])
    found = [np.array([[20.0, 20.0, 30.0, 28.0, 0.9, 0.0]])] * len(flight)
    (tmp_path / "detections.jsonl").write_text("{}\n")
    descriptor = ObjectDescriptor(lambda crops: crops.flatten(1), 8, 1.0, "", "cpu")
    for view, margin in ((View.AROUND, 1.0), (View.BARE, MARGIN), (View.PLACE, 2.0)):
        for row, one in enumerate(describe(flight, found, descriptor, tmp_path, view)):
            crops = thermal_crops(*flight.pixels(row), found[row], 8, margin)
            assert one.vectors == pytest.approx(descriptor(crops), abs=2e-3)


def test_objects_are_ranked_by_weights_that_were_calibrated_for_the_networks_that_ship():
    from crossband.models.packaged import packaged_path
    from crossband.uav.object_ranking import RankWeights
    from crossband.weights import file_digest

    ships = [file_digest(packaged_path(task)) for task in ("detection", "objects")]
    weights = RankWeights.read()
    assert list(weights.made_by) == ships
    assert len(weights.share) == evidence([0.5]).columns.shape[1]
    assert set(weights.there) == set(View)
