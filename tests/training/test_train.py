"""What the trainer promises: it learns, resumes exactly, selects on val, and names what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path

import PIL.Image
import pytest
import torch
from safetensors.torch import load_file

from crossband import __version__
from crossband.checkpoints import read_metadata
from crossband.errors import CrossbandError
from crossband.models import list_models
from crossband.models.place_recognizer import create_place_recognizer
from crossband.training import evaluate, read_recipe, train
from crossband.training.logs import read_log

RECIPES = Path(__file__).parents[2] / "recipes"


def figures(out, name: str) -> list[float]:
    return [float(value) for _, _, key, value in read_log(out) if key == name]


def run(recipe, out, street, *overrides):
    return train(read_recipe(recipe, overrides), (), out, data_root=street)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "aggregator"), [("triplet", "gem"), ("contrastive", "netvlad"), ("arcface", "mixvpr")]
)
def test_every_loss_trains_every_aggregator(recipe, street, tmp_path, loss, aggregator):
    options = {"gem": {}, "netvlad": {"clusters": 4}, "mixvpr": {"size": [4, 4], "out_channels": 16}}
    content = recipe(loss={"name": loss}, optimizer={"lr": 1e-3}, trainer={"epochs": 6})
    content["model"] |= {"aggregator": aggregator, "options": options[aggregator]}
    done = run(content, tmp_path, street)
    losses = figures(tmp_path, "train/loss")
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert done.monitor == "val/fcm@2"
    assert done.best == max(figures(tmp_path, "val/fcm@2"))


@pytest.mark.slow
def test_sgm_trains_across_bands_against_a_classifier_of_them(recipe, street, tmp_path):
    sgm = {"aggregator": "netvlad", "options": {"clusters": 4, "narrow": 8}, "freeze_batchnorm": False}
    bands = {"query_bands": ["tir"], "gallery_bands": ["rgb"]}
    content = recipe(
        loss={"name": "triplet", "band_adversarial": 0.1}, data=bands, model=sgm, trainer={"epochs": 2}
    )
    done = run(content, tmp_path / "run", street)
    assert read_metadata(done.checkpoint)["dim"] == 8 * 4
    assert evaluate(None, done.checkpoint, data_root=street).tests["night"]["n_queries"] == 5


def test_the_recipe_of_sgm_is_the_network_that_the_retrieval_paper_measures():
    sgm = read_recipe(RECIPES / "retrieval" / "sgm_boson_nighttime.yaml")
    network, _ = create_place_recognizer(
        sgm.model.encoder,
        sgm.model.aggregator,
        layer=sgm.model.layer,
        options=sgm.model.options,
        pretrained=False,
    )
    [info] = list_models("sgm_resnet18")
    used = network.set_trainable((64, 64))
    assert network.dim == info.dim == 4096
    assert used == info.params_m * 1e6  # with the assignment's 64 biases on both sides
    assert (sgm.data.query_bands, sgm.data.gallery_bands) == (["tir"], ["rgb"])


@pytest.mark.slow
def test_a_checkpoint_says_what_it_is_and_loads_strictly(recipe, street, tmp_path):
    content = recipe(loss={"name": "arcface"}, trainer={"epochs": 1})
    done = run(content, tmp_path, street)
    metadata = read_metadata(done.checkpoint)
    assert metadata["crossband"] == __version__
    assert read_recipe(metadata["recipe"]) == read_recipe(content)
    assert len(metadata["classes"]) == 8
    assert set(metadata["preprocess"]["statistics"]) == {"rgb", "nir", "tir"}
    results = evaluate(None, done.checkpoint, tmp_path / "results", data_root=street)
    assert json.loads((tmp_path / "results" / "results.json").read_text()) == results.to_dict()
    assert results.tests["night"]["n_queries"] == 5
    with PIL.Image.open(tmp_path / "results" / "map_night.png") as picture:
        assert min(picture.size) > 200
    with pytest.raises(CrossbandError, match="network"):
        evaluate(
            content,
            done.checkpoint,
            data_root=street,
            overrides=["model.layer=features.3"] * 0 + ["model.encoder=squeezenet1_0"],
        )


@pytest.mark.slow
def test_without_a_checkpoint_the_network_before_training_is_measured(recipe, street):
    first, second = (evaluate(recipe(), data_root=street) for _ in range(2))
    assert first == second
    assert first.checkpoint is None


class Killed(BaseException):
    """A death in the middle."""


@pytest.mark.slow
@pytest.mark.parametrize("death", [3, 4, 5, 7])
def test_a_run_that_was_killed_ends_with_the_weights_of_one_left_alone(
    recipe, street, tmp_path, monkeypatch, death
):
    content = recipe(trainer={"epochs": 3, "batch_size": 4, "accumulate": 2}, sampling={"refresh": 2})
    content["optimizer"] |= {"schedule": "cosine", "warmup": 0.2}
    run(content, tmp_path / "whole", street)
    from crossband.retrieval.tasks.places import Places

    loss, calls = Places.loss, []

    def dying(self, batch):
        calls.append(1)
        if len(calls) == death:
            raise Killed
        return loss(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Places, "loss", dying)
        with pytest.raises(Killed):
            run(content, tmp_path / "killed", street)
    torch.rand(17)  # whatever happened to the random state in between
    run(content, tmp_path / "killed", street)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "killed")]
    for part in ("network", "criterion"):
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name
    assert figures(tmp_path / "whole", "loss") == figures(tmp_path / "killed", "loss")
    assert figures(tmp_path / "whole", "val/fcm@2") == figures(tmp_path / "killed", "val/fcm@2")


@pytest.mark.slow
def test_a_finished_run_is_not_run_again_and_another_recipe_is_refused(recipe, street, tmp_path):
    run(recipe(trainer={"epochs": 1}), tmp_path, street)
    before = (tmp_path / "state.pt").stat().st_mtime_ns
    run(recipe(trainer={"epochs": 1}), tmp_path, street)
    assert (tmp_path / "state.pt").stat().st_mtime_ns == before
    with pytest.raises(CrossbandError, match="recipe"):
        run(recipe(trainer={"epochs": 2}), tmp_path, street)


@pytest.mark.slow
def test_a_run_of_an_earlier_version_with_fewer_keys_goes_on(recipe, street, tmp_path):
    from crossband.checkpoints import read_state, write_state

    done = run(recipe(), tmp_path, street)
    state = read_state(tmp_path / "state.pt")
    said = json.loads(state["recipe"])
    del said["trainer"]["validate_every"]
    write_state(tmp_path / "state.pt", {**state, "recipe": json.dumps(said)})
    assert run(recipe(), tmp_path, street).best == done.best
    with pytest.raises(CrossbandError, match="recipe"):
        run(recipe(trainer={"validate_every": 2}), tmp_path, street)


@pytest.mark.slow
def test_a_run_of_an_earlier_version_whose_network_had_another_shape_is_refused(recipe, street, tmp_path):
    from crossband.checkpoints import read_state, write_state

    run(recipe(trainer={"epochs": 1}), tmp_path, street)
    state = read_state(tmp_path / "state.pt")
    said, name = json.loads(state["recipe"]), next(name for name, v in state["network"].items() if v.ndim)
    said["trainer"]["epochs"] = 2  # there is something left to do
    state["network"][name] = torch.cat([state["network"][name]] * 2)
    write_state(tmp_path / "state.pt", {**state, "recipe": json.dumps(said), "finished": False})
    with pytest.raises(CrossbandError, match="older version"):
        run(recipe(trainer={"epochs": 2}), tmp_path, street)


def test_a_damaged_state_is_named_and_never_unpickled(recipe, street, tmp_path):
    import pickle

    (tmp_path / "state.pt").write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(CrossbandError, match=r"state\.pt"):
        run(recipe(), tmp_path, street)


@pytest.mark.slow
def test_the_best_checkpoint_and_the_early_stop_follow_val(recipe, street, tmp_path, monkeypatch):
    from crossband.retrieval.tasks.places import Places

    scores = iter([10.0, 30.0, 20.0, 30.0, 90.0])
    monkeypatch.setattr(Places, "validate", lambda self: {self.monitor: next(scores)})
    done = run(recipe(trainer={"epochs": 5, "patience": 2}), tmp_path, street)
    assert done.best == 30.0
    assert done.epoch == 2
    assert len(figures(tmp_path, "train/loss")) == 4


@pytest.mark.slow
def test_val_may_be_measured_rarely_and_the_last_epoch_always_is(recipe, street, tmp_path, monkeypatch):
    from crossband.retrieval.tasks.places import Places

    scores = iter([90.0, 10.0])
    monkeypatch.setattr(Places, "validate", lambda self: {self.monitor: next(scores)})
    done = run(recipe(trainer={"epochs": 4, "validate_every": 3}), tmp_path / "some", street)
    assert (done.best, done.epoch) == (90.0, 3)
    assert next(scores, None) is None
    scores = iter([10.0])
    done = run(recipe(trainer={"epochs": 2, "validate_every": 2}), tmp_path / "last", street)
    assert (done.best, done.epoch) == (10.0, 2)


def test_a_test_query_among_val_is_found_by_its_image(recipe, street, tmp_path):
    content = recipe()
    content["data"]["val"]["queries"] = {"frames": "street", "where": {"condition": ["night"]}}
    with pytest.raises(CrossbandError, match=r"night\d\.png"):
        run(content, tmp_path, street)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_images(recipe, street, tmp_path, monkeypatch):
    from crossband.retrieval.tasks.places import Places

    monkeypatch.setattr(Places, "loss", lambda self, batch: batch["images"].sum() * math.nan)
    with pytest.raises(CrossbandError, match=r"day\d"):
        run(recipe(), tmp_path, street)


@pytest.mark.slow
def test_bands_may_be_crossed_and_mixed(recipe, street, tmp_path):
    content = recipe(data={"query_bands": ["rgb"], "gallery_bands": ["tir", "rgb"]}, trainer={"epochs": 1})
    run(content, tmp_path, street)
    tests = evaluate(content, tmp_path / "best.safetensors", data_root=street).tests["night"]
    assert (tests["n_queries"], tests["n_gallery"]) == (5, 16)


@pytest.mark.slow
def test_mixed_precision_trains(recipe, street, tmp_path):
    run(recipe(trainer={"epochs": 1, "precision": "bf16-mixed"}), tmp_path, street)
    assert all(map(math.isfinite, figures(tmp_path, "loss")))
    assert all(v.dtype != torch.bfloat16 for v in load_file(tmp_path / "best.safetensors").values())


@pytest.mark.slow
def test_reading_in_other_processes_changes_nothing(recipe, street, tmp_path):
    for workers in (0, 2):
        run(recipe(trainer={"epochs": 1, "workers": workers}), tmp_path / str(workers), street)
    assert figures(tmp_path / "0", "loss") == figures(tmp_path / "2", "loss")


@pytest.mark.slow
def test_the_log_has_speed_and_the_share_of_mining(recipe, street, tmp_path):
    run(recipe(), tmp_path, street)
    assert all(rate > 0 for rate in figures(tmp_path, "train/images_per_s"))
    assert all(0 < share < 1 for share in figures(tmp_path, "train/mining_share"))
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.slow
def test_training_leaves_the_caller_s_random_state_alone(recipe, street, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(recipe(trainer={"epochs": 1}), tmp_path, street)
    assert torch.equal(torch.rand(3), expected)


def test_the_query_itself_may_be_a_positive_and_neighbors_negatives(recipe, street):
    from crossband.training.task import find_task

    for itself in (True, False):
        content = recipe(sampling={"positive": 2.0, "negative": 2.0, "itself": itself})
        task = find_task("places").build(read_recipe(content), street)
        table = task.items.frames.table
        for query, positive, *negatives in task.samples(0):
            spots = [float(table["x"].iloc[task.items.rows[i]]) for i in (query, positive, *negatives)]
            assert abs(spots[0] - spots[1]) <= 2
            assert all(abs(spots[0] - spot) > 2 for spot in spots[2:])
            assert (query == positive) == itself


@pytest.mark.slow
def test_the_samples_of_an_epoch_depend_on_the_seed_and_the_epoch_alone(recipe, street):
    from crossband.training.task import find_task

    def samples(epoch: int, seed: int):
        return find_task("places").build(read_recipe(recipe(seed=seed)), street).samples(epoch).tolist()

    assert samples(1, 0) == samples(1, 0)
    assert samples(1, 0) != samples(2, 0)
    assert samples(1, 0) != samples(1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named_and_left_out(recipe, tmp_path, workers, capsys):
    from ..street import write_street

    root = write_street(tmp_path / "data" / "street")
    (root / "rgb" / "day3.png").write_bytes(b"")
    content = recipe(sampling={"hard": False}, trainer={"workers": workers, "epochs": 1})
    run(content, tmp_path / "out", tmp_path / "data")
    assert "day3.png" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_here_is_named(recipe, street, tmp_path):
    for verb in (lambda r: run(r, tmp_path, street), lambda r: evaluate(r, data_root=street)):
        with pytest.raises(CrossbandError, match=r"device"):
            verb(recipe(trainer={"device": "cuda"}))


@pytest.mark.slow
def test_whitening_is_fitted_on_the_training_images_before_a_test(recipe, street, tmp_path):
    content = recipe(trainer={"epochs": 1})
    content["model"] |= {"aggregator": "netvlad", "options": {"clusters": 4, "whiten": 8}}
    done = run(content, tmp_path, street)
    assert read_metadata(done.checkpoint)["dim"] == 8  # the checkpoint keeps the axes
    from crossband.checkpoints import load_network
    from crossband.training.task import find_task

    task = find_task("places").build(read_recipe(content), street)
    load_network(done.checkpoint, task.network)
    assert task.test()["night"]["n_queries"] == 5
    assert task.network.dim == 8
