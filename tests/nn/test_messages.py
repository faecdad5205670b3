"""What layers and encoders say where they cannot."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crossband.models import create_encoder
from crossband.nn.aggregation import NetVLAD, create_aggregator, kmeans
from crossband.nn.encoder import Encoder, as_map
from crossband.nn.pooling import Pooling
from crossband.nn.reparam import MultiBranchConv2d, fold_batchnorms, reparameterize, series_kernel
from crossband.nn.spatial_fusion import create_fusion
from crossband.nn.unet import UNet

from ..messages import assert_says


class Idle(nn.Module):
    """A network with a layer that nothing runs through."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


class Shared(nn.Module):
    """A convolution that two layers read."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.norm.running_mean += 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.convolution(x)
        return self.norm(y) + y


def encode(name: str, height: int, width: int, layer: str | None = None) -> torch.Tensor:
    encoder = create_encoder(name, pretrained=False)
    return encoder(torch.zeros(1, 3, height, width), layer)


KERNEL = torch.zeros(2, 2, 3, 3), torch.zeros(2)
MESSAGES = {
    "layer": (
        lambda: encode("mobilenet_v2", 64, 64, "feature.13"),
        "unknown layer 'feature.13'; did you mean ... features.13",
    ),
    "idle layer": (
        lambda: Encoder(Idle(), "used")(torch.zeros(1, 3, 8, 8), "spare"),
        "'spare' is never reached",
    ),
    "size": (lambda: encode("alexnet", 16, 20), "cannot read images of 20x16 ... choose another size"),
    "no map": (lambda: as_map(torch.zeros(3), "block"), "gives no feature map"),
    "pooling": (lambda: Pooling.parse("mean"), "unknown pooling 'mean' ... normflat, flat, avg, gem, max"),
    "aggregator": (
        lambda: create_aggregator("netvald", 4),
        "unknown aggregator 'netvald'; did you mean netvlad",
    ),
    "aggregator, option": (
        lambda: create_aggregator("gem", 4, clusters=3),
        "aggregator gem does not take",
    ),
    "k-means": (lambda: kmeans(torch.zeros(2, 2), 3), "as many local features"),
    "whitening": (
        lambda: NetVLAD(5, clusters=3, whiten=4).fit_whitening(torch.rand(3, 15)),
        "whitening to 4 ... needs more",
    ),
    "fusion": (lambda: create_fusion("concatenate", 8), "unknown fusion 'concatenate'; did you mean concat"),
    "U-Net": (lambda: UNet(1, 1, depth=0), "depth"),
    "kernels in series": (lambda: series_kernel(KERNEL, KERNEL), "only a 1x1 convolution merges"),
    "even kernel": (lambda: MultiBranchConv2d(4, 4), "use an odd size"),
    "training mode": (
        lambda: reparameterize(MultiBranchConv2d(4, 3).train()),
        "training mode has no deployed form; call model.eval()",
    ),
    "two readers": (lambda: fold_batchnorms(Shared().eval(), torch.rand(1, 3, 4, 4)), "deploy it without"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(case):
    assert_says(*MESSAGES[case])
