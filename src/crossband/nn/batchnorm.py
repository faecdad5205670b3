"""BatchNorm whose statistics stay: what networks that learn from small batches share."""

from __future__ import annotations

from torch import nn

__all__ = ["freeze_batchnorm"]


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
