"""The segmentation network whose bands share an encoder: missing bands are really missing."""

from __future__ import annotations

import pytest
import torch

from crossband.models import create_segmenter


def network(bands, **options):
    torch.manual_seed(0)
    return create_segmenter("band_fusion", 5, bands, options={"width": 8, **options})


@pytest.mark.parametrize(
    ("bands", "channels"), [(("rgb", "tir"), 4), (("tir",), 1), (("rgb", "nir", "tir"), 5)]
)
def test_it_reads_any_bands_at_any_size(bands, channels):
    with torch.inference_mode():
        assert network(bands)(torch.rand(2, channels, 50, 70)).shape == (2, 5, 50, 70)


def test_a_black_band_counts_for_nothing_however_black_is_standardized():
    both = network(("rgb", "tir"))
    images = torch.rand(2, 4, 64, 64)
    dark, darker = images.clone(), images.clone()
    dark[:, :3] = -1.0
    darker[:, :3] = torch.tensor([-2.1, -2.0, -1.8])[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(both(dark), both(darker))
        assert not torch.allclose(both(dark), both(images))


def test_one_frame_without_a_band_does_not_change_the_others_of_its_batch():
    both = network(("rgb", "tir"))
    images = torch.rand(2, 4, 64, 64)
    images[1, 3:] = 0.0
    with torch.inference_mode():
        torch.testing.assert_close(both(images)[:1], both(images[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_stages_do_not_learn_and_the_others_do(frozen):
    one = network(("rgb", "tir"), frozen=frozen)
    before = {name: value.clone() for name, value in one.encoder.named_parameters()}
    optimizer = torch.optim.SGD([p for p in one.parameters() if p.requires_grad], 0.1)
    one.train()(torch.rand(1, 4, 64, 64)).square().mean().backward()
    optimizer.step()
    moved = {name for name, value in one.encoder.named_parameters() if not torch.equal(value, before[name])}
    stages = [{name for name in moved if name.startswith(f"stages.{k}.")} for k in range(4)]
    assert [bool(stage) for stage in stages] == [k >= frozen for k in range(4)]
