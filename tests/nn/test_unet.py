import pytest
import timm
import torch

from crossband.nn.darknet import Darknet
from crossband.nn.unet import PatchGAN, UNet


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (5, 9), (1, 1)])
def test_any_size_comes_out_as_it_went_in(size):
    assert UNet(3, 2, width=4, depth=3).eval()(torch.rand(2, 3, *size)).shape == (2, 2, *size)


def test_an_image_gives_the_same_whatever_stands_beside_it():
    network, images = UNet(1, 1, width=4, depth=3).eval(), torch.rand(3, 1, 24, 24)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]))


@pytest.mark.slow
def test_skips_carry_detail_that_the_bottom_cannot():
    torch.manual_seed(0)
    network = UNet(1, 1, width=8, depth=4, dropout=0.0)
    images = torch.rand(4, 1, 32, 32)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(80):
        loss = (network(images) - images).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.08  # noise cannot pass 2x2 pixels


def test_a_patch_of_the_papers_discriminator_sees_70_pixels():
    judge = PatchGAN(1, width=4, layers=3)
    image = torch.zeros(1, 1, 256, 256, requires_grad=True)
    patches = judge.layers[0](image)  # without normalization, which sees everything
    for layer in judge.layers[1:]:
        if isinstance(layer, torch.nn.Conv2d):
            patches = layer(patches)
    patches[0, 0, 15, 15].backward()
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == (70, 70)


@pytest.mark.slow
def test_darknet_has_the_parameters_of_timms():
    reference = timm.create_model("darknet53", num_classes=0)
    count = sum(p.numel() for p in reference.parameters())
    assert sum(p.numel() for p in Darknet(3).parameters()) == count


@pytest.mark.slow
def test_darknets_maps_are_those_of_table_1():
    assert [tuple(x.shape) for x in Darknet(6)(torch.zeros(1, 6, 256, 256))] == [
        (1, 256, 32, 32),
        (1, 512, 16, 16),
        (1, 1024, 8, 8),
    ]
