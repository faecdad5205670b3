"""Tables 1 to 4 of the retrieval study: our figures beside the paper's, and what is missing by name."""

from __future__ import annotations

import json
import shutil

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from crossband import retrieval
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.models import find_model, list_rerankers
from crossband.papers import list_papers, reproduce, rgbt_retrieval
from crossband.papers.rgbt_retrieval import CENTROIDS, PARAMETERS, RGBT_RETRIEVAL, read_recipe, sample


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.setattr(rgbt_retrieval, "MASKS", (160, 160))  # four windows an image: quick
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.manual_seed(0)
    save_file(find_model("squeezenet1_1").build().body.state_dict(), folder / "squeezenet1_1.safetensors")
    monkeypatch.setenv("CROSSBAND_WEIGHTS", str(folder))


@pytest.fixture
def data(tmp_path, make_pairs):
    """RoadScene, and LLVIP of two places, in the published layouts."""
    root = tmp_path / "data"
    road = make_pairs(root / "road", n=5)
    (road / "rgb").rename(road / "crop_LR_visible")
    (road / "tir").rename(road / "cropinfrared")
    for image in road.rglob("*.png"):
        gray = np.asarray(PIL.Image.open(image))
        byte = gray if gray.dtype == np.uint8 else (gray / gray.max() * 255).astype(np.uint8)
        PIL.Image.fromarray(byte).save(image)
    pairs = make_pairs(root / "pairs", n=6, seed=1)
    for band, folder in (("rgb", "Train_LLVIP_vi"), ("tir", "Train_LLVIP_ir")):
        target = root / "street" / folder
        target.mkdir(parents=True)
        for i, image in enumerate(sorted((pairs / band).iterdir())):
            pixels = np.asarray(PIL.Image.open(image))
            byte = pixels if pixels.dtype == np.uint8 else (pixels / pixels.max() * 255).astype(np.uint8)
            PIL.Image.fromarray(byte).save(target / f"{1 + i // 3:02}{i:04}.jpg")
    return root


@pytest.mark.slow
def test_each_figure_stands_beside_the_papers_with_the_difference(data, tmp_path):
    done = reproduce("rgbt-retrieval", data, out=tmp_path / "out", rows=["squeezenet1_1", "alexnet"])
    rows = {(r["table"], r["dataset"], r["model"], r["figure"]): r for r in done.rows}
    road = rows[1, "roadscene", "squeezenet1_1", "R@1"]
    assert road["published"] == 96.38
    assert 0 <= road["ours"] <= 100
    assert road["difference"] == pytest.approx(road["ours"] - 96.38)
    assert road["frames"] == "5"
    assert rows[2, "roadscene", "squeezenet1_1", "CKA"]["ours"] is not None
    places = rows[3, "llvip", "squeezenet1_1", "places of 19 (ours of 2)"]
    assert places["published"] == 9
    assert places["ours"] in (0, 1, 2)
    assert rows[4, "", "squeezenet1_1", "M parameters"]["difference"] == 0
    assert rows[1, "ino", "squeezenet1_1", "R@1"]["ours"] is None
    saved = json.loads((tmp_path / "out" / "reproduction.json").read_text())
    assert saved["paper"] == "rgbt-retrieval"
    for name in ("roadscene", "llvip"):  # figures 3 to 6 of the sets that are there
        page = (tmp_path / "out" / name / "explanation.html").read_text(encoding="utf-8")
        for words in ("What it looks at", "How sure it is", "in the plane, tsne", "Queries and what was found"):
            assert words in page
    assert not (tmp_path / "out" / "ino").exists()
    assert saved["rows"] == done.rows


@pytest.mark.slow
def test_the_models_that_the_paper_reranks_are_reranked(data, tmp_path, monkeypatch):
    torch.manual_seed(1)
    state = find_model("r2former").build().body.state_dict()
    save_file(state, tmp_path / "weights" / "r2former.safetensors")
    assert read_recipe().rerank.keys() == set(list_rerankers())
    asked = []
    measure = retrieval.benchmark

    def benchmark(*args, **options):
        asked.append((args[1], options["rerank"]))
        return measure(*args, **options)

    monkeypatch.setattr(retrieval, "benchmark", benchmark)
    shutil.rmtree(data / "street")
    done = reproduce("rgbt-retrieval", data, out=tmp_path / "out", rows=["squeezenet1_1", "r2former"])
    assert asked == [(["squeezenet1_1"], 0), (["r2former"], 100)]
    rows = {(r["table"], r["model"], r["figure"]): r["ours"] for r in done.rows if r["dataset"] == "roadscene"}
    assert 0 <= rows[1, "r2former", "R@1"] <= 100


@pytest.mark.slow
def test_what_is_missing_is_named_with_where_to_get_it(data, tmp_path):
    done = reproduce("rgbt-retrieval", data, out=tmp_path / "out", rows=["squeezenet1_1", "alexnet"])
    assert "https://github.com/JinyuanLiu-CV/TarDAL" in done.missing["m3fd"]
    assert "no weights for alexnet" in done.missing["alexnet"]
    assert {"m3fd", "boson_nighttime", "flir_adas", "ino", "vot_rgbt", "vtuav", "alexnet"} == set(done.missing)
    assert not done.to_display().empty


def test_unknown_models_papers_and_recipes_are_one_sentence(data, tmp_path):
    with pytest.raises(CrossbandError, match="alexnett"):
        reproduce("rgbt-retrieval", data, rows=["alexnett"])
    with pytest.raises(CrossbandError, match=r"rgb-retrieval"):
        reproduce("rgb-retrieval", data)
    with pytest.raises(CrossbandError, match="gone"):
        reproduce("rgbt-retrieval", tmp_path / "gone")
    (tmp_path / "rgbt_retrieval.yaml").write_text("paper: x\nsizes: 3\n")
    with pytest.raises(CrossbandError, match=r"rgbt_retrieval\.yaml"):
        read_recipe(tmp_path)


def test_every_figure_of_table_1_is_a_multiple_of_one_over_the_recipes_frames():
    recipe = read_recipe()
    for name, models in RGBT_RETRIEVAL.items():
        frames = recipe.datasets[name].frames
        for model in ("alexnet", "resnet18", "resnet50", "resnet152"):
            share = models[model].recall_1 / 100 * frames
            assert abs(share - round(share)) < 0.05, (name, model)


def test_sampling_leaves_about_as_many_frames_as_the_paper_has():
    rows = [{"frame": f"{s}-{i}", "rgb": f"{s}/{i}.png", "sequence": s} for s in "abc" for i in range(500)]
    found = sample(Frames.make(rows, "."), 100)
    assert 90 <= len(found) <= 110
    assert found.table["sequence"].value_counts().nunique() == 1
    assert len(sample(Frames.make(rows, "."), 5000)) == 1500


def test_published_tables_are_whole():
    assert all(len(models) == 15 for models in RGBT_RETRIEVAL.values())
    assert sum(model.cka is not None for models in RGBT_RETRIEVAL.values() for model in models.values()) == 40
    totals = {m: sum(scores[m] for _, scores in CENTROIDS.values()) for m in CENTROIDS["ino"][1]}
    assert totals == {"alexnet": 29, "vgg16": 29, "squeezenet1_1": 32, "patch_netvlad": 22, "sgm_resnet18": 35}
    assert sum(places for places, _ in CENTROIDS.values()) == 42
    assert len(PARAMETERS) == 8


def test_papers_have_names_and_titles():
    assert "rgbt-retrieval" in [paper.name for paper in list_papers()]
    assert all(paper.title for paper in list_papers())
