"""BatchNorm for networks that come without, and statistics that stay where batches are small."""

from __future__ import annotations

import torch
import torch.distributed
from torch import nn

__all__ = ["SettlingBatchNorm", "add_batchnorm", "ensure_batchnorm", "freeze_batchnorm"]


class SettlingBatchNorm(nn.BatchNorm2d):
    """A BatchNorm that changes nothing at first: its first batch in training sets its scale and shift.

    So pretrained weights keep their meaning. As data-dependent initialization does it (Salimans and Kingma,
    NeurIPS 2016, section 3), but to what the network has, not to zero mean and unit variance.

    Example:
        >>> maps = torch.randn(8, 2, 16, 16) * 3 + 1
        >>> layer = SettlingBatchNorm(2).train()
        >>> torch.allclose(layer(maps), maps, atol=1e-4)
        True
    """

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps of the same shape, ``(b, c, h, w)``."""
        assert self.num_batches_tracked is not None
        if self.training and int(self.num_batches_tracked) == 0:
            self._settle(maps.detach().float())
        return super().forward(maps)

    @torch.no_grad()
    def _settle(self, maps: torch.Tensor) -> None:
        variance, mean = torch.var_mean(maps, (0, 2, 3), correction=0)
        for parameter, value in ((self.weight, (variance + self.eps).sqrt()), (self.bias, mean)):
            parameter.copy_(value)
            if torch.distributed.is_initialized():  # processes that train together agree on the first one's
                torch.distributed.broadcast(parameter.data, 0)


def add_batchnorm(network: nn.Module) -> None:
    """Put a BatchNorm behind every convolution of a network, which computes as before at first.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())
        >>> add_batchnorm(network)
        >>> [type(part).__name__ for part in network[0]]
        ['Conv2d', 'SettlingBatchNorm']
    """
    for module in list(network.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, nn.Conv2d):
                setattr(module, name, nn.Sequential(part, SettlingBatchNorm(part.out_channels)))


def ensure_batchnorm(network: nn.Module) -> None:
    """Put BatchNorms into a network that has none, such as SqueezeNet or VGG, so that it learns quickly."""
    if not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules()):
        add_batchnorm(network)


def freeze_batchnorm(network: nn.Module) -> None:
    """Put every BatchNorm of a network in evaluation, so that small batches do not spoil its statistics.

    To be called in ``train()``, which takes them out of it.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).train()
        >>> freeze_batchnorm(network)
        >>> [part.training for part in network]
        [True, False]
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
