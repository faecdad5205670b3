"""CMX: its published count, the authors' key names, and SegFormer's encoder against another implementation."""

from __future__ import annotations

import re

import pytest
import torch

from crossband.checkpoints import load_network
from crossband.errors import CrossbandError
from crossband.models import create_segmenter
from crossband.models.cmx import CMX, FusionModule, RectifyModule, rename_cmx
from crossband.nn.encoder import count_parameters
from crossband.nn.mix_transformer import MixTransformer, rename_mix_transformer
from crossband.weights import load_state_dict


def authors_names(network: CMX) -> dict[str, torch.Tensor]:
    """The network's state as the authors' release names it."""
    inner = {
        "attention.query": "attn.q",
        "attention.key_value": "attn.kv",
        "attention.out": "attn.proj",
        "attention.thin": "attn.sr",
        "attention.norm": "attn.norm",
        "mlp.wide": "mlp.fc1",
        "mlp.near": "mlp.dwconv.dwconv",
        "mlp.narrow": "mlp.fc2",
    }
    fuse = {
        "enter": "cross.channel_proj",
        "key_value": "cross.cross_attn.kv",
        "leave": "cross.end_proj",
        "norms": "cross.norm",
    }
    embed = {"straight": "residual", "embed": "channel_embed", "norm": "norm"}
    found = {}
    for key, value in network.state_dict().items():
        parts = key.split(".")
        if parts[0] == "encoder":
            extra, stage, rest = ("extra_" if parts[1] == "1" else ""), int(parts[3]) + 1, ".".join(parts[4:])
            for ours, theirs in inner.items():
                rest = rest.replace(ours + ".", theirs + ".")
            if rest.startswith("blocks."):
                name = f"backbone.{extra}block{stage}.{rest.removeprefix('blocks.')}"
            elif rest.startswith("embed"):
                rest = re.sub(r"^embed_norm", "norm", re.sub(r"^embed\.", "proj.", rest))
                name = f"backbone.{extra}patch_embed{stage}.{rest}"
            else:
                name = f"backbone.{extra}norm{stage}.{rest.removeprefix('norm.')}"
        elif parts[0] == "rectify":
            kind = {"by_channel": "channel_weights", "by_position": "spatial_weights"}[parts[2]]
            name = f"backbone.FRMs.{parts[1]}.{kind}.mlp.{'.'.join(parts[3:])}"
        elif parts[0] == "fuse" and parts[2] in fuse:
            name = f"backbone.FFMs.{parts[1]}.{fuse[parts[2]]}{int(parts[3]) + 1}.{parts[4]}"
        elif parts[0] == "fuse":
            name = f"backbone.FFMs.{parts[1]}.channel_emb.{embed[parts[2]]}.{'.'.join(parts[3:])}"
        elif parts[0] == "lateral":
            name = f"decode_head.linear_c{int(parts[1]) + 1}.proj.{parts[2]}"
            value = value.flatten(1) if value.ndim == 4 else value
        else:
            name = key.replace("mix.", "decode_head.linear_fuse.").replace(
                "logits.", "decode_head.linear_pred."
            )
        found[name] = value
    return found


@pytest.mark.parametrize(("name", "published"), [("cmx_b2", 66.6), ("cmx_b4", 139.9)])
def test_cmx_has_the_published_parameters_for_the_forty_classes_of_nyu(name, published):
    with torch.device("meta"):
        network = create_segmenter(name, 40)
    assert round(count_parameters(network) / 1e6, 1) == published


def test_a_checkpoint_of_the_authors_loads_by_its_own_names_and_gives_the_same_logits(tmp_path):
    torch.manual_seed(0)
    whole, other = CMX("mit_b0", (3, 1), 5, 16).eval(), CMX("mit_b0", (3, 1), 5, 16).eval()
    state = authors_names(whole)
    assert {"backbone.extra_patch_embed1.proj.weight", "backbone.FFMs.3.cross.cross_attn.kv2.weight"} <= set(
        state
    )
    assert {"backbone.block1.0.attn.sr.weight", "decode_head.linear_fuse.1.running_var"} <= set(state)
    torch.save({"model": state}, tmp_path / "epoch-best.pth")
    assert load_network(tmp_path / "epoch-best.pth", other) == {}
    images = torch.rand(1, 4, 64, 96)
    with torch.no_grad():
        assert torch.equal(other(images), whole(images))


def test_a_checkpoint_of_another_width_is_refused_in_one_sentence(tmp_path):
    torch.save(authors_names(CMX("mit_b0", (3, 1), 5, 8)), tmp_path / "cmx.pth")
    with pytest.raises(CrossbandError, match="another network"):
        load_network(tmp_path / "cmx.pth", CMX("mit_b0", (3, 1), 5, 16))


def test_names_that_are_nobodys_are_kept_out_of_the_encoder():
    assert rename_cmx({"backbone.head.weight": torch.zeros(1)}) == {}


def test_each_stream_is_corrected_by_the_other_alone():
    """With weights of one half everywhere, half a channel's and half a position's: each adds half the other."""
    module = RectifyModule(3)
    for part in (module.by_channel[2], module.by_position[2]):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    one, two = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    first, second = module(one, two)
    torch.testing.assert_close(first, one + 0.5 * two)
    torch.testing.assert_close(second, two + 0.5 * one)


def test_the_fusion_tells_its_streams_apart_and_keeps_their_size():
    module = FusionModule(8, 2).eval()
    one, two = torch.rand(1, 8, 5, 7), torch.rand(1, 8, 5, 7)
    assert module(one, two).shape == one.shape
    assert not torch.allclose(module(one, two), module(two, one))


def test_the_encoder_gives_what_the_hubs_implementation_gives(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the independent SegFormer is in transformers")
    config = transformers.SegformerConfig(
        depths=[2, 2, 2, 2], hidden_sizes=[32, 64, 160, 256], num_attention_heads=[1, 2, 5, 8]
    )
    torch.manual_seed(0)
    theirs = transformers.SegformerForImageClassification(config).eval()
    ours = MixTransformer("mit_b0").eval()
    theirs.save_pretrained(tmp_path)  # as the hub has it
    ours.load_state_dict(rename_mix_transformer(load_state_dict(tmp_path / "model.safetensors")))
    images = torch.rand(2, 3, 96, 64)
    with torch.no_grad():
        expected = theirs.segformer(images, output_hidden_states=True).hidden_states
        found = ours(images)
    for k, (own, other) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(own, other, atol=2e-4, rtol=2e-4, msg=lambda m, k=k: f"stage {k + 1}: {m}")
