"""The authors' checkpoints, as lists of keys and shapes, load into the networks without a tensor over or short.

The lists are written from the code of the public repositories that each model's module names.
"""

from __future__ import annotations

import argparse

import pytest
import torch
import torch.nn.functional as F
import torchvision

from crossband.errors import CrossbandError
from crossband.models import create_encoder, find_model, list_models
from crossband.weights import load_state_dict

Shapes = dict[str, tuple[int, ...]]


def shapes_of(network: torch.nn.Module, prefix: str, *without: str) -> Shapes:
    state = network.state_dict()
    return {prefix + key: tuple(v.shape) for key, v in state.items() if not key.startswith(without or ("-",))}


def vgg16() -> Shapes:
    widths = {
        0: (3, 64),
        2: (64, 64),
        5: (64, 128),
        7: (128, 128),
        10: (128, 256),
        12: (256, 256),
        14: (256, 256),
        17: (256, 512),
        19: (512, 512),
        21: (512, 512),
        24: (512, 512),
        26: (512, 512),
        28: (512, 512),
    }
    found: Shapes = {}
    for i, (a, b) in widths.items():
        found |= {f"encoder.{i}.weight": (b, a, 3, 3), f"encoder.{i}.bias": (b,)}
    return found


def netvlad() -> Shapes:
    return {**vgg16(), "pool.conv.weight": (64, 512, 1, 1), "pool.centroids": (64, 512)}


def patch_netvlad() -> Shapes:
    whitening: Shapes = {"WPCA.0.weight": (4096, 32768, 1, 1), "WPCA.0.bias": (4096,)}
    return {**netvlad(), "pool.conv.bias": (64,), **whitening}


def mixvpr() -> Shapes:
    found = shapes_of(torchvision.models.resnet50(weights=None), "backbone.model.", "layer4", "fc")
    for i in range(4):
        for layer, shape in ((0, (400,)), (1, (400, 400)), (3, (400, 400))):
            found[f"aggregator.mix.{i}.mix.{layer}.weight"] = shape
            found[f"aggregator.mix.{i}.mix.{layer}.bias"] = (400,)
    return {
        **found,
        "aggregator.channel_proj.weight": (1024, 1024),
        "aggregator.channel_proj.bias": (1024,),
        "aggregator.row_proj.weight": (4, 400),
        "aggregator.row_proj.bias": (4,),
    }


def vit_blocks(prefix: str, depth: int, width: int, scale: bool = False) -> Shapes:
    found: Shapes = {}
    for i in range(depth):
        block = f"{prefix}blocks.{i}."
        for norm in ("norm1", "norm2"):
            found |= {f"{block}{norm}.weight": (width,), f"{block}{norm}.bias": (width,)}
        for name, a, b in (
            ("attn.qkv", width, 3 * width),
            ("attn.proj", width, width),
            ("mlp.fc1", width, 4 * width),
            ("mlp.fc2", 4 * width, width),
        ):
            found |= {f"{block}{name}.weight": (b, a), f"{block}{name}.bias": (b,)}
        if scale:
            found |= {f"{block}ls1.gamma": (width,), f"{block}ls2.gamma": (width,)}
    return found


def dinov2(prefix: str, width: int = 768) -> Shapes:
    return {
        f"{prefix}cls_token": (1, 1, width),
        f"{prefix}pos_embed": (1, 1370, width),
        f"{prefix}mask_token": (1, width),
        f"{prefix}patch_embed.proj.weight": (width, 3, 14, 14),
        f"{prefix}patch_embed.proj.bias": (width,),
        **vit_blocks(prefix, 12, width, scale=True),
        f"{prefix}norm.weight": (width,),
        f"{prefix}norm.bias": (width,),
    }


def r2former() -> Shapes:
    found: Shapes = {
        "backbone.cls_token": (1, 1, 384),
        "backbone.dist_token": (1, 1, 384),
        "backbone.pos_embed": (1, 1202, 384),
        "backbone.patch_embed.proj.weight": (384, 3, 16, 16),
        "backbone.patch_embed.proj.bias": (384,),
        **vit_blocks("backbone.", 12, 384),
        "backbone.norm.weight": (384,),
        "backbone.norm.bias": (384,),
    }
    for head in ("head", "head_dist"):
        found |= {f"backbone.{head}.weight": (256, 384), f"backbone.{head}.bias": (256,)}
    reranker: Shapes = {
        "cls_token": (1, 1, 32),
        "cls_token_2": (1, 1, 32),
        "decoder_pos_embed": (1, 1001, 32),
        "ratio": (1,),
        **vit_blocks("", 6, 32),
        **{key.replace("blocks", "blocks_2"): shape for key, shape in vit_blocks("", 2, 32).items()},
        "decoder_norm.weight": (32,),
        "decoder_norm.bias": (32,),
        "pair_head.weight": (32, 7),
        "pair_head.bias": (32,),
        "pair_head_2.weight": (32, 32),
        "pair_head_2.bias": (32,),
        "decoder_pred.weight": (2, 32),
        "decoder_pred.bias": (2,),
    }
    found |= {"local_head.weight": (128, 384), "local_head.bias": (128,)}
    found |= {f"Reranker.{key}": shape for key, shape in reranker.items()}
    return {f"module.{key}": shape for key, shape in found.items()}


def sgm() -> Shapes:
    names = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6"}
    net = shapes_of(torchvision.models.resnet18(weights=None), "", "layer4", "fc")
    found = {f"backbone.{names[k.split('.')[0]]}.{k.split('.', 1)[1]}": s for k, s in net.items()}
    norm = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (64,))
    return {
        **found,
        "conv_layer.0.weight": (64, 256, 1, 1),
        **{f"conv_layer.1.{name}": shape for name, shape in norm.items()},
        "conv_layer.1.num_batches_tracked": (),
        "aggregation.conv.weight": (64, 64, 1, 1),
        "aggregation.centroids": (64, 64),
    }


def omnivore() -> Shapes:
    found: Shapes = {
        "patch_embed.proj.weight": (128, 3, 2, 4, 4),
        "patch_embed.proj.bias": (128,),
        "patch_embed.norm.weight": (128,),
        "patch_embed.norm.bias": (128,),
        "depth_patch_embed.proj.weight": (128, 1, 2, 4, 4),
        "norm.weight": (1024,),
        "norm.bias": (1024,),
    }
    for stage, depth in enumerate((2, 2, 18, 2)):
        width, heads = 128 * 2**stage, 4 * 2**stage
        blocks = vit_blocks("", depth, width)
        found |= {f"layers.{stage}.{key}": shape for key, shape in blocks.items()}
        for i in range(depth):
            attention = f"layers.{stage}.blocks.{i}.attn."
            found[f"{attention}relative_position_bias_table"] = (31 * 13 * 13, heads)
            found[f"{attention}relative_position_index"] = (784, 784)
        if stage < 3:
            down = f"layers.{stage}.downsample."
            found |= {
                f"{down}reduction.weight": (2 * width, 4 * width),
                f"{down}norm.weight": (4 * width,),
                f"{down}norm.bias": (4 * width,),
            }
    return found


def imagebind() -> Shapes:
    found: Shapes = {"modality_trunks.text.blocks.0.norm_1.weight": (1024,)}
    for name, width, depth, tokens in (("vision", 1280, 32, 257), ("thermal", 768, 12, 197)):
        pre, trunk = f"modality_preprocessors.{name}.", f"modality_trunks.{name}."
        found |= {f"{pre}cls_token": (1, 1, width), f"{pre}pos_embedding_helper.pos_embed": (1, tokens, width)}
        for part in ("weight", "bias"):
            found[f"modality_heads.{name}.0.{part}"] = (width,)
            key = (
                f"{trunk}pre_transformer_layer.0.{part}"
                if name == "vision"
                else f"{pre}rgbt_stem.norm_layer.{part}"
            )
            found[key] = (width,)
        found[f"modality_heads.{name}.2.weight"] = (1024, width)
        for i in range(depth):
            block = f"{trunk}blocks.{i}."
            found |= {
                f"{block}attn.in_proj_weight": (3 * width, width),
                f"{block}attn.in_proj_bias": (3 * width,),
                f"{block}attn.out_proj.weight": (width, width),
                f"{block}attn.out_proj.bias": (width,),
                f"{block}mlp.fc1.weight": (4 * width, width),
                f"{block}mlp.fc1.bias": (4 * width,),
                f"{block}mlp.fc2.weight": (width, 4 * width),
                f"{block}mlp.fc2.bias": (width,),
            }
            for norm in ("norm_1", "norm_2"):
                found |= {f"{block}{norm}.weight": (width,), f"{block}{norm}.bias": (width,)}
            if name == "thermal":
                found |= {f"{block}attn.bias_k": (1, 1, width), f"{block}attn.bias_v": (1, 1, width)}
    stems: Shapes = {
        "vision.rgbt_stem.proj.1.weight": (1280, 3, 2, 14, 14),
        "thermal.rgbt_stem.proj.weight": (768, 1, 16, 16),
    }
    return {**found, **{f"modality_preprocessors.{key}": shape for key, shape in stems.items()}}


def salad(width: int = 128, prefix: str = "aggregator.") -> Shapes:
    found: Shapes = {**dinov2("backbone.model."), f"{prefix}dust_bin": ()}
    for name, first, out in (("token_features", 2, 256), ("cluster_features", 3, width), ("score", 3, 64)):
        tail = () if name == "token_features" else (1, 1)
        for layer, a, b in ((0, 768, 512), (first, 512, out)):
            found |= {f"{prefix}{name}.{layer}.weight": (b, a, *tail), f"{prefix}{name}.{layer}.bias": (b,)}
    return found


def megaloc() -> Shapes:
    linear: Shapes = {"aggregator.linear.weight": (8448, 16640), "aggregator.linear.bias": (8448,)}
    return {**salad(256, "aggregator.agg."), **linear}


def boq(channels: int, width: int) -> Shapes:
    found: Shapes = {
        "proj_c.weight": (width, channels, 3, 3),
        "proj_c.bias": (width,),
        "fc.weight": (32, 128),
        "fc.bias": (32,),
        "norm_input.weight": (width,),
        "norm_input.bias": (width,),
    }
    for i in range(2):
        found[f"boqs.{i}.queries"] = (1, 64, width)
        for attention in ("encoder.self_attn", "self_attn", "cross_attn"):
            found |= {
                f"boqs.{i}.{attention}.in_proj_weight": (3 * width, width),
                f"boqs.{i}.{attention}.in_proj_bias": (3 * width,),
                f"boqs.{i}.{attention}.out_proj.weight": (width, width),
                f"boqs.{i}.{attention}.out_proj.bias": (width,),
            }
        for norm in ("encoder.norm1", "encoder.norm2", "norm_q", "norm_out"):
            found |= {f"boqs.{i}.{norm}.weight": (width,), f"boqs.{i}.{norm}.bias": (width,)}
        for name, a, b in (("linear1", width, 2048), ("linear2", 2048, width)):
            found |= {f"boqs.{i}.encoder.{name}.weight": (b, a), f"boqs.{i}.encoder.{name}.bias": (b,)}
    return {f"aggregator.{key}": shape for key, shape in found.items()}


def boq_resnet50() -> Shapes:
    names = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6"}
    net = shapes_of(torchvision.models.resnet50(weights=None), "", "layer4", "fc")
    renamed = {f"backbone.net.{names[k.split('.')[0]]}.{k.split('.', 1)[1]}": s for k, s in net.items()}
    return {**renamed, **boq(1024, 512)}


PUBLISHED = {
    "netvlad": netvlad,
    "patch_netvlad": patch_netvlad,
    "mixvpr": mixvpr,
    "r2former": r2former,
    "sgm_resnet18": sgm,
    "omnivore_swinb": omnivore,
    "imagebind": imagebind,
    "salad": salad,
    "megaloc": megaloc,
    "boq_resnet50": boq_resnet50,
    "boq_dinov2": lambda: {**dinov2("backbone.dino."), **boq(768, 384)},
    "anythermal": lambda: dinov2(""),
}
DIMS = {
    "netvlad": 32768,
    "patch_netvlad": 4096,
    "mixvpr": 4096,
    "r2former": 256,
    "sgm_resnet18": 4096,
    "omnivore_swinb": 1024,
    "imagebind": 1024,
    "salad": 8448,
    "megaloc": 8448,
    "boq_resnet50": 16384,
    "boq_dinov2": 12288,
    "anythermal": 768,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_checkpoint_fills_the_network_whole(name):
    entry = find_model(name)
    with torch.device("meta"):
        encoder = entry.build()
        state = {key: torch.empty(shape) for key, shape in PUBLISHED[name]().items()}
        renamed = entry.rename(state, encoder)
    own = {key: tuple(value.shape) for key, value in encoder.body.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in renamed.items()} == own


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_tensor_too_few_is_refused(name, tmp_path):
    entry = find_model(name)
    with torch.device("meta"):
        encoder = entry.build()
        state = {key: torch.empty(shape) for key, shape in PUBLISHED[name]().items()}
        for wanted in (
            "encoder.0.weight",
            "blocks.3.",
            "layer1.0.conv1.weight",
            "net.0.weight",
            "backbone.0.weight",
        ):
            state = {key: value for key, value in state.items() if wanted not in key}
        renamed = entry.rename(state, encoder)
    assert renamed.keys() != encoder.body.state_dict().keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_model_of_the_paper_says_its_dimension_size_license_and_source(name):
    (info,) = list_models(name)
    assert info.dim == DIMS[name]
    assert info.size is not None
    assert min(info.size) >= 224
    assert info.license
    assert "http" in info.source or "timm" in info.source


@pytest.mark.parametrize(
    "name", ["dinov2_vits14", "dinov2_vitb14", "dinov3_vitb16", "clip_vitb16", "siglip_vitb16"]
)
def test_what_timm_keeps_comes_as_safetensors_from_the_hub(name):
    entry = find_model(name)
    assert entry.weights.hub[1] == "model.safetensors"
    (info,) = list_models(name)
    assert info.dim == {"dinov2_vits14": 384, "clip_vitb16": 512}.get(name, 768)


@pytest.mark.slow
def test_sgm_loads_its_file_and_runs(tmp_path):
    torch.manual_seed(0)
    state = {key: torch.rand(shape) * 0.05 for key, shape in sgm().items() if shape}
    state["conv_layer.1.num_batches_tracked"] = torch.tensor(1)
    for key, shape in sgm().items():
        if not shape:
            state[key] = torch.tensor(1)
    torch.save(
        {"model_state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "best.pth"
    )
    encoder = create_encoder("sgm_resnet18", tmp_path / "best.pth")
    vectors = encoder(torch.rand(2, 3, 64, 96))
    assert vectors.shape == (2, 4096, 1, 1)
    assert torch.allclose(vectors.flatten(1).norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.equal(encoder.body.aggregation.centers, state["aggregation.centroids"])


@pytest.mark.slow
def test_netvlad_is_the_ports_formula():
    torch.manual_seed(0)
    from crossband.models.netvlad import PatchNetVLAD, rename_netvlad

    network = PatchNetVLAD().eval()
    conv, centroids = torch.randn(64, 512, 1, 1), torch.rand(64, 512)
    state = {"pool.conv.weight": conv, "pool.centroids": centroids}
    state |= {f"encoder.{key}": value for key, value in network.encoder.state_dict().items()}
    network.load_state_dict(rename_netvlad(state, type("E", (), {"body": network})), strict=True)
    images = torch.rand(1, 3, 64, 80)
    with torch.inference_mode():
        x = F.normalize(network.encoder(images), dim=1)
        share = F.conv2d(x, conv).flatten(2).softmax(1)
        flat = x.flatten(2)
        rows = [(share[:, k : k + 1] * (flat - centroids[k][None, :, None])).sum(-1) for k in range(64)]
        expected = F.normalize(F.normalize(torch.stack(rows, 1), dim=2).flatten(1), dim=1)
        assert torch.allclose(network(images), expected, atol=1e-5)


def test_checkpoints_with_objects_inside_are_never_unpickled(tmp_path):
    torch.save({"state_dict": {}, "args": argparse.Namespace(a=1)}, tmp_path / "x.pth.tar")
    with pytest.raises(CrossbandError, match=r"x\.pth\.tar"):
        load_state_dict(tmp_path / "x.pth.tar")
