"""A trained checkpoint stands wherever a model's name can: it describes, is searched with and is shrunk."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from crossband.checkpoints import read_metadata
from crossband.cli import main
from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.retrieval import Descriptor, Options, fit_descriptor
from crossband.training import evaluate, train


@pytest.fixture(scope="module", params=["gem", "netvlad"])
def trained(request, street, tmp_path_factory):
    from ..street import part

    gallery = part(sequence="day")
    out = tmp_path_factory.mktemp("trained")
    train(
        {
            "task": "places",
            "data": {
                "train": part(split="train"),
                "size": [32, 32],
                "cache_mb": 8,
                "val": {"queries": part(split="val"), "gallery": gallery},
                "test": {"night": {"queries": part(split="test"), "gallery": gallery}},
            },
            "model": {
                "encoder": "squeezenet1_1",
                "layer": "features.4",
                "pretrained": False,
                "aggregator": request.param,
                "kmeans_images": 8,
                "options": {"clusters": 4} if request.param == "netvlad" else {},
            },
            "sampling": {"positive": 2.0, "negative": 5.0, "n_negatives": 2},
            "trainer": {"epochs": 1, "device": "cpu"},
        },
        out=out,
        data_root=street,
    )
    return out / "best.safetensors"


@pytest.mark.slow
def test_a_checkpoint_describes_as_it_was_evaluated(trained, street):
    descriptor = Descriptor.load(str(trained))
    frames = open_frames(street / "street")
    vectors = {}
    for visit in ("day", "night"):
        chosen = frames.select((frames.table["sequence"] == visit).to_numpy(bool))
        if visit == "night":
            chosen = chosen.select((chosen.table["split"] == "test").to_numpy(bool))
        from crossband.data.items import Items

        items = Items(chosen, ["rgb"], descriptor.preprocess)
        vectors[visit] = chosen, descriptor.pooled(items.batch(np.arange(len(items)))).numpy()
    (night, queries), (day, gallery) = vectors["night"], vectors["day"]
    assert np.allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)
    found = day.table["x"].to_numpy()[(queries @ gallery.T).argmax(1)]
    right = 100 * np.mean(np.abs(found - night.table["x"].to_numpy()) <= 5)
    tests = evaluate(None, trained, data_root=street).tests
    assert right == pytest.approx(tests["night"]["fcm"]["5"])


@pytest.fixture
def crossband(monkeypatch, capsys):
    """Run a command; what it printed."""

    def run(*words) -> str:
        monkeypatch.setattr("sys.argv", ["crossband", *map(str, words)])
        with pytest.raises(SystemExit) as done:
            main()
        assert not done.value.code
        return capsys.readouterr().out

    return run


@pytest.mark.slow
def test_a_checkpoint_indexes_and_finds(trained, street, tmp_path, crossband):
    gallery = tmp_path / "gallery"
    crossband("index", street / "street", "--gallery", gallery, "--model", trained, "--band", "rgb")
    query = street / "street" / "rgb" / "day3.png"
    found = json.loads(crossband("search", query, "--gallery", gallery, "--json"))
    assert found[0]["frame"] == "day3"


@pytest.mark.slow
def test_a_fitted_checkpoint_needs_the_very_network_it_was_fitted_on(trained, street, tmp_path):
    frames = open_frames(street / "street")
    fitted = fit_descriptor([frames], Descriptor.load(str(trained)), 4, store=tmp_path / "store")
    path = fitted.save(tmp_path / "small.safetensors")
    assert Descriptor.load(str(path)).axes.shape[1] == 4
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(trained.read_bytes())
    assert Descriptor.load(str(path), Options(weights=moved)).weights_digest == fitted.weights_digest
    state = {name: value + 1 for name, value in load_file(trained).items()}
    save_file(state, moved, metadata={"crossband": json.dumps(read_metadata(trained))})
    with pytest.raises(CrossbandError, match=r"small\.safetensors"):
        Descriptor.load(str(path), Options(weights=moved))


def test_a_checkpoint_whose_recipe_is_another_network_is_refused_before_it_is_built(trained, tmp_path):
    metadata = read_metadata(trained)
    metadata["recipe"]["model"]["aggregator"] = "netvlad"
    metadata["recipe"]["model"]["options"] = {"clusters": 10**9}
    path = tmp_path / "hostile.safetensors"
    save_file(load_file(trained), path, metadata={"crossband": json.dumps(metadata)})
    with pytest.raises(CrossbandError, match=r"hostile\.safetensors"):
        Descriptor.load(str(path))
    metadata["recipe"]["task"] = "segmentation"
    save_file(load_file(trained), path, metadata={"crossband": json.dumps(metadata)})
    with pytest.raises(CrossbandError, match="segmentation"):
        Descriptor.load(str(path))
