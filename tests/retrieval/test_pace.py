"""How a network is run is measured once and kept, and changes no vector beyond its rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from crossband.datasets import scan
from crossband.devices import PACES
from crossband.errors import CrossbandError
from crossband.nn import Encoder
from crossband.retrieval import Descriptor, Options, embed
from crossband.retrieval.descriptor import pace as module
from crossband.retrieval.descriptor.descriptor import unit_length
from crossband.retrieval.descriptor.pace import at_pace, choose_pace, measure_paces


@pytest.fixture
def descriptor(monkeypatch, tmp_path) -> Descriptor:
    monkeypatch.setenv("CROSSBAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CROSSBAND_PACE", raising=False)
    return Descriptor.load("efficientnet_lite0@blocks.2:avg4", Options(size=(64, 64), device="cpu"))


def test_the_quickest_is_chosen_once_and_kept_for_few_images_too(descriptor, monkeypatch):
    seconds = {"plain": 3.0, "float32": 1.0, "bfloat16": 2.0}
    monkeypatch.setattr(module, "measure_paces", lambda _: seconds)
    assert choose_pace(descriptor, 100) == "plain"  # not worth a measurement
    assert choose_pace(descriptor, 1000) == "float32"
    seconds["plain"] = 0.0
    assert choose_pace(descriptor, 1000) == choose_pace(descriptor, 100) == "float32"
    assert choose_pace(descriptor, 3) == "plain"  # not worth a copy
    other = Descriptor.load("efficientnet_lite0@blocks.2:avg3", Options(size=(64, 64), device="cpu"))
    assert choose_pace(other, 1000) == "plain"


def test_a_damaged_choice_is_made_again(descriptor, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "measure_paces", lambda _: {"plain": 2.0, "float32": 1.0})
    choose_pace(descriptor, 1000)
    (kept,) = (tmp_path / "cache" / "paces").iterdir()
    for text in ("", "[]", '{"pace": "other"}'):
        kept.write_text(text)
        assert choose_pace(descriptor, 1000) == "float32"


def test_the_environment_ends_the_choice(descriptor, monkeypatch):
    monkeypatch.setenv("CROSSBAND_PACE", "bfloat16")
    assert choose_pace(descriptor, 1000) == "bfloat16"
    assert choose_pace(Descriptor.load("hog"), 1000) == "plain"  # it has no convolutions
    monkeypatch.setenv("CROSSBAND_PACE", "swift")
    with pytest.raises(CrossbandError, match="CROSSBAND_PACE is one of plain, float32, bfloat16, not 'swift'"):
        choose_pace(descriptor, 1000)


def test_what_changes_vectors_too_much_is_no_choice(descriptor, monkeypatch):
    own = module.quick_copy

    def wrong(encoder: Encoder, *how: object) -> Encoder:
        quick = own(encoder, *how)
        conv = next(m for m in quick.body.modules() if isinstance(m, nn.Conv2d))
        conv.weight = nn.Parameter(torch.zeros_like(conv.weight), requires_grad=False)
        conv._laid_out = {}
        return quick

    monkeypatch.setattr(module, "quick_copy", wrong)
    assert list(measure_paces(descriptor)) == ["plain"]


def test_every_pace_gives_the_vectors_of_the_network(descriptor, monkeypatch, make_pairs, tmp_path):
    frames = scan(make_pairs(tmp_path / "pairs", n=12, size=(80, 64)))
    found = {}
    for pace in PACES:
        monkeypatch.setenv("CROSSBAND_PACE", pace)
        part = embed(frames, descriptor, store=tmp_path / pace).bands
        found[pace] = unit_length(np.concatenate([one.pooled.rows(0, 12) for one in part.values()]))
    apart = np.linalg.norm(found["plain"][:, None] - found["plain"][None], axis=2)
    nearest = (apart + 9 * np.eye(len(apart))).min()
    assert np.abs(found["float32"] - found["plain"]).max() < 1e-3  # the store rounds to float16
    assert np.linalg.norm(found["bfloat16"] - found["plain"], axis=1).max() < 0.2 * nearest
    assert at_pace(descriptor, "float32").encoder is at_pace(descriptor, "float32").encoder  # made once
    assert at_pace(descriptor, "float32").fingerprint == descriptor.fingerprint
