"""R2Former's re-ranking: the patches with most attention, and pairs of them, as its paper has it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from crossband.models import create_encoder
from crossband.models.r2former import PairTransformer, R2Former, R2FormerReranker


@pytest.fixture(scope="module")
def network() -> R2Former:
    torch.manual_seed(0)
    return create_encoder("r2former", pretrained=False).body


@pytest.fixture(scope="module")
def transformer() -> PairTransformer:
    torch.manual_seed(1)
    found = PairTransformer().eval().requires_grad_(False)
    for parameter in found.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape))
    return found


def wave(place: torch.Tensor, width: int = 32) -> torch.Tensor:
    """The embedding of one place, number by number."""
    numbers = []
    for coordinate in place.tolist():
        angles = [coordinate / 10000 ** (i / (width // 4)) for i in range(width // 4)]
        numbers += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    return torch.tensor(numbers)


def naive_score(transformer: PairTransformer, query: torch.Tensor, item: torch.Tensor) -> float:
    """Each patch by itself, as the paper tells it."""
    tokens = []
    for mine, others in ((query, item), (item, query)):
        for patch in mine:
            alike = [float(F.cosine_similarity(patch[3:], other[3:], dim=0)) for other in others]
            best = sorted(range(len(others)), key=lambda i, alike=alike: -alike[i])[:5]
            rows = []
            for i in best:
                pair = torch.cat([patch[:3].clamp(0, 1), others[i, :3].clamp(0, 1), torch.tensor([alike[i]])])
                rows.append(transformer.pair_head(pair) + wave(pair[3:5]))
            x = torch.cat([transformer.cls_token_2[0], torch.stack(rows)])[None]
            for block in transformer.blocks_2:
                x = block(x)
            summed = transformer.pair_head_2(transformer.decoder_norm(x)[0, 0])
            tokens.append(summed + wave(patch[:2].clamp(0, 1)))
    x = torch.cat([transformer.cls_token[0], torch.stack(tokens)])[None]
    for block in transformer.blocks:
        x = block(x)
    wrong, right = transformer.decoder_pred(transformer.decoder_norm(x)[0, 0]).tolist()
    return math.exp(right) / (math.exp(wrong) + math.exp(right))


def test_a_pairs_score_is_that_of_an_independent_computation(transformer):
    generator = torch.Generator().manual_seed(2)
    query, items = torch.rand(1, 9, 131, generator=generator), torch.rand(3, 7, 131, generator=generator)
    found = transformer(query, items)
    expected = [naive_score(transformer, query[0], item) for item in items]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
    assert found.std() > 1e-5


def test_a_pairs_score_does_not_depend_on_the_order_of_patches(transformer):
    generator = torch.Generator().manual_seed(3)
    query, item = torch.rand(1, 9, 131, generator=generator), torch.rand(1, 8, 131, generator=generator)
    shuffled = item[:, torch.randperm(8, generator=generator)]
    assert transformer(query, item).item() == pytest.approx(transformer(query, shuffled).item(), abs=1e-5)


def test_local_features_are_the_patches_that_the_tokens_attend_to(network):
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    read = {}
    block = network.backbone.blocks[-1]
    hook = block.register_forward_pre_hook(lambda module, inputs: read.update(x=inputs[0]))
    with torch.inference_mode():
        network(images)
        hook.remove()
        local = network.local(images)
        x, attention = read["x"], block.attn
        qkv = attention.qkv(block.norm1(x))
        given = torch.zeros(2, 24)
        for head in range(6):
            part = slice(64 * head, 64 * head + 64)
            q, k = qkv[..., :384][..., part], qkv[..., 384:768][..., part]
            given += (q @ k.transpose(1, 2) / 8).softmax(-1)[:, :2, 2:].sum(1)
    assert local.shape == (2, 24, 131)  # 4 rows of 6
    for image in (0, 1):
        order = given[image].argsort(descending=True)
        assert torch.allclose(local[image, :, 2], given[image, order] / given[image].max(), atol=1e-5)
        for patch, row in zip(order.tolist(), local[image], strict=True):
            assert row[:2].tolist() == pytest.approx([(patch % 6 + 0.5) / 6, (patch // 6 + 0.5) / 6])
            assert torch.allclose(row[3:], network.local_head(x[image, 2 + patch]), atol=1e-5)


def test_scores_are_those_of_one_pair_at_a_time(network):
    encoder = create_encoder("r2former", pretrained=False)
    reranker = R2FormerReranker(encoder)
    generator = torch.Generator().manual_seed(5)
    query, items = torch.rand(6, 131, generator=generator), torch.rand(7, 6, 131, generator=generator)
    with torch.inference_mode():
        found = reranker.scores(query, iter(items))
        alone = [reranker.scores(query, [item])[0] for item in items]
    assert found.tolist() == pytest.approx(alone, abs=1e-6)
    assert reranker.scores(query, []).shape == (0,)
