"""The head of the local features: what an encoder's maps say, brought to vectors that bands share.

A linear part, which starts as principal axes, beside three residual blocks that look at five by five positions.
It learned on pairs of bands whose true flow is known (``python -m benchmarks.local_head``): the position that
shows the same point is to be more alike than every other one of its image and of its street, and images of one
moment more than neighbors of theirs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from ..checkpoints import complete_metadata, file_metadata, load_into, write_tensors

__all__ = ["PACKED_HEAD", "LocalHead"]

PACKED_HEAD = Path(__file__).with_name("local_head.safetensors")
"""The head of the default encoder's maps."""
_MAKER = "python -m benchmarks.local_head"


class LocalHead(nn.Module):
    """Turn joined maps into unit vectors at each position.

    Args:
        channels: of the joined maps.
        width: channels inside.
        blocks: residual blocks.
        dim: of a vector.

    Example:
        >>> head = LocalHead(24, width=16, blocks=2, dim=8)
        >>> found = head(torch.rand(2, 24, 5, 6))
        >>> found.shape, bool((found.norm(dim=1) - 1).abs().max() < 1e-5)
        (torch.Size([2, 8, 5, 6]), True)
    """

    def __init__(self, channels: int, width: int = 128, blocks: int = 3, dim: int = 64) -> None:
        super().__init__()
        self.axes = nn.Conv2d(channels, dim, 1, bias=False)
        self.enter = nn.Conv2d(channels, width, 1)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.leave = nn.Conv2d(width, dim, 1)
        self.shape = {"channels": channels, "width": width, "blocks": blocks, "dim": dim}
        _silence(self.leave)

    @classmethod
    def read(cls, path: str | Path = PACKED_HEAD) -> tuple[LocalHead, str]:
        """Read a head, in evaluation mode, and the layers it is for, joined by ``+``.

        Raises:
            CrossbandError: missing, damaged, or no head.
        """
        said = file_metadata(path, "head of local features", _MAKER)
        with complete_metadata(path):
            head, layers = cls(**said["shape"]), str(said["layers"])
        tensors = {name: value.float() for name, value in load_file(path).items()}
        load_into(head, tensors, path)
        return head.eval(), layers

    def write(self, path: str | Path, layers: str, **said: object) -> Path:
        """Write it as float16, with the layers it is for and what else is said of it."""
        tensors = {name: value.half() for name, value in self.state_dict().items()}
        return write_tensors(path, tensors, {"shape": self.shape, "layers": layers, **said})

    @property
    def channels(self) -> int:
        """Channels of the joined maps."""
        return int(self.axes.in_channels)

    @property
    def digest(self) -> str:
        """Twelve digits of SHA-256 over its weights: what tells stored features of two heads apart."""
        found = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            found.update(name.encode())
            found.update(value.detach().cpu().float().contiguous().numpy().tobytes())
        return found.hexdigest()[:12]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return vectors ``(B, dim, h, w)`` of maps ``(B, channels, h, w)`` of unit length at each position."""
        inside = self.blocks(self.enter(maps * maps.shape[1] ** 0.5))
        return F.normalize(self.axes(maps) + self.leave(inside), dim=1)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.wide, self.narrow = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)
        _silence(self.narrow)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(F.gelu(self.wide(self.norm(self.around(x)))))


def _silence(layer: nn.Conv2d) -> None:
    """Let a layer begin by adding nothing."""
    for values in layer.parameters():
        nn.init.zeros_(values)
