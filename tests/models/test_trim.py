"""An encoder that was cut offers only what is left of it."""

from __future__ import annotations

from crossband.matching import MatchReranker
from crossband.models import create_encoder
from crossband.models.pair_descriptor import trim


def test_an_encoder_that_is_cut_before_its_layers_of_local_features_names_none():
    cut, _ = trim(create_encoder("efficientnet_lite0", pretrained=False), "blocks.2", (64, 64))
    assert not MatchReranker.possible(cut)
    whole, _ = trim(create_encoder("efficientnet_lite0", pretrained=False), "blocks.4", (64, 64))
    assert MatchReranker.possible(whole)
