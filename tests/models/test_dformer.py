"""DFormer: its published counts, the authors' key names, and what its second band does."""

from __future__ import annotations

import pytest
import torch

from crossband.checkpoints import load_network
from crossband.errors import CrossbandError
from crossband.models import create_segmenter
from crossband.models.dformer import SIZES, DFormer, Size, _Mixing, rename_dformer
from crossband.nn.counting import count_cost
from crossband.nn.encoder import count_parameters
from crossband.nn.factorization import Factorization

TINY = Size("DFormer_None", (8, 16, 24, 32), (1, 2, 1, 2))
MIXING = {
    "norm": "norm",
    "norm_second": "norm_e",
    "query": "q",
    "query_half": "q_cut",
    "inner": "l",
    "around": "conv",
    "around_out": "a",
    "second_in": "e_fore",
    "second_around": "e_conv",
    "second_out": "e_back",
    "asking": "short_cut_linear",
    "key_value": "kv",
    "out": "proj",
    "out_second": "proj_e",
}
MLP = {"norm": "norm", "wide": "fc1", "around": "pos", "narrow": "fc2"}
HEAD = {
    "squeeze.0": "squeeze.conv",
    "squeeze.1": "squeeze.bn",
    "bread_in": "hamburger.ham_in.conv",
    "bread_out.0": "hamburger.ham_out.conv",
    "bread_out.1": "hamburger.ham_out.bn",
    "align.0": "align.conv",
    "align.1": "align.bn",
    "logits": "conv_seg",
}


def tiny(scale: float = 0.1, width: int = 8) -> DFormer:
    return DFormer(TINY, (3, 1), 5, width, scale).eval()


def authors_name(key: str) -> str:
    parts = key.split(".")
    if parts[0] == "head":
        module, _, kind = key.removeprefix("head.").rpartition(".")
        return f"decode_head.{HEAD[module]}.{kind}"
    stage = parts[1]
    if parts[2].startswith("enter"):
        extra = "_e" if parts[2] == "enter_second" else ""
        return f"backbone.downsample_layers{extra}.{stage}.{'.'.join(parts[3:])}"
    block = f"backbone.stages.{stage}.{parts[3]}."
    if parts[4].startswith("scales"):
        return f"{block}layer_scale_{int(parts[5]) + 1}{'_e' if parts[4] == 'scales_second' else ''}"
    if parts[4] == "mixing":
        return f"{block}attn.{MIXING[parts[5]]}.{parts[6]}"
    return f"{block}{'mlp_e2' if parts[4] == 'mlp_second' else 'mlp'}.{MLP[parts[5]]}.{parts[6]}"


def authors_names(network: DFormer) -> dict[str, torch.Tensor]:
    """The network's state as the authors' release names it, with the norms that it keeps and never runs."""
    found = {authors_name(key): value for key, value in network.state_dict().items()}
    return found | {f"backbone.norm{k}.weight": torch.ones(w) for k, w in enumerate(TINY.channels)}


@pytest.mark.parametrize(
    ("name", "published", "thop"),
    [
        ("t", 6.0, 11.8),
        ("s", 18.7, 25.6),
        pytest.param("b", 29.5, 41.9, marks=pytest.mark.slow),
        pytest.param("l", 39.0, 65.7, marks=pytest.mark.slow),
    ],
)
def test_dformer_has_the_published_parameters_for_the_forty_classes_of_nyu(name, published, thop):
    with torch.device("meta"):
        network = create_segmenter(f"dformer_{name}", 40)
    unused = 2 * sum(SIZES[name].channels)  # LayerNorms that the authors' encoder keeps and never runs
    assert round((count_parameters(network) + unused) / 1e6, 1) == published
    assert count_cost(network, 1, 4, 480, 640).thop_g == pytest.approx(thop, abs=0.12)


def test_a_checkpoint_of_the_authors_loads_by_its_own_names_and_gives_the_same_logits(tmp_path):
    torch.manual_seed(0)
    whole, other = tiny(), tiny()
    state = authors_names(whole)
    assert {
        "backbone.downsample_layers_e.0.3.weight",
        "backbone.stages.1.0.attn.short_cut_linear.weight",
        "backbone.stages.3.0.layer_scale_2_e",
        "decode_head.hamburger.ham_out.bn.running_var",
    } <= set(state)
    assert not any(key.startswith("backbone.stages.3.1.mlp_e2") for key in state)
    torch.save({"model": state}, tmp_path / "epoch-best.pth")
    assert load_network(tmp_path / "epoch-best.pth", other) == {}
    images = torch.rand(1, 4, 64, 96)
    with torch.no_grad():
        assert torch.equal(other(images), whole(images))


def test_an_encoder_of_the_authors_starts_the_network_where_it_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSBAND_WEIGHTS", str(tmp_path))
    monkeypatch.setitem(SIZES, "t", TINY)
    network = tiny()
    state = {
        k.removeprefix("backbone."): v for k, v in authors_names(network).items() if "decode_head" not in k
    }
    torch.save({"state_dict": {}, "state_dict_ema": state}, tmp_path / "DFormer_None.pth.tar")
    started = create_segmenter("dformer_t", 5, ["rgb", "tir"], pretrained=True)
    assert torch.equal(started.stages[2].blocks[0].mlp.wide.weight, network.stages[2].blocks[0].mlp.wide.weight)
    wider = create_segmenter("dformer_t", 5, ["rgb", "nir", "tir"], pretrained=True)
    assert torch.equal(wider.stages[0].enter[0].weight[:, :3], network.stages[0].enter[0].weight)


def test_a_checkpoint_of_another_width_is_refused_in_one_sentence(tmp_path):
    torch.save(authors_names(tiny(width=4)), tmp_path / "dformer.pth")
    with pytest.raises(CrossbandError, match="another network"):
        load_network(tmp_path / "dformer.pth", tiny())


def test_names_that_are_nobodys_are_left_out():
    assert rename_dformer({"backbone.norm0.weight": torch.zeros(1), "head.weight": torch.zeros(1)}) == {}


def test_the_second_band_is_read_in_every_block_and_written_in_all_but_the_last():
    mixing, last = _Mixing(8, 2, asks=True, last=False), _Mixing(8, 2, asks=True, last=True)
    color, second = torch.rand(1, 9, 10, 8), torch.rand(1, 9, 10, 4)
    one, other = mixing(color, second)
    assert one.shape == color.shape
    assert other is not None
    assert other.shape == second.shape
    assert not torch.allclose(mixing(color, second * 2 + torch.rand_like(second))[0], one)
    assert last(color, second)[1] is None


def test_every_position_hears_of_every_other_through_the_grid_but_not_in_the_first_stage():
    for asks in (True, False):
        mixing = _Mixing(8, 2, asks=asks, last=False).eval()
        color = torch.rand(1, 32, 32, 8, requires_grad=True)
        mixing(color, torch.rand(1, 32, 32, 4))[0][0, 0, 0].sum().backward()
        assert bool(color.grad[0, 31, 31].abs().sum() > 0) is asks


def test_the_factors_come_nearer_with_more_steps_and_an_image_gets_the_same_answer_twice():
    torch.manual_seed(0)
    maps = torch.rand(2, 16, 6, 7)
    errors = [
        float((Factorization(16, 4, (n, n)).eval()(maps) - maps).square().mean().detach()) for n in (1, 7, 40)
    ]
    assert errors == sorted(errors, reverse=True)
    layer = Factorization(16, 4)
    assert torch.equal(layer.eval()(maps), layer(maps))
    assert not torch.equal(layer.train()(maps), layer(maps))
