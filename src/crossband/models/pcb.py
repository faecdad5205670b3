"""PCB, the part-based convolutional baseline, of one band.

Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling (and A Strong Convolutional
Baseline)", ECCV 2018, figure 2. Extended to several bands as table 4 of Li et al. (AAAI 2020) does: one
stream per band, their features summed. Refined part pooling is left out; the
features are the paper's H, p x 256.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..nn.encoder import Encoder
from ..nn.resnet import reduction, remove_last_stride, resnet_stages
from .streams import StreamOutput, register_stream

__all__ = ["PcbStream"]


@register_stream("pcb", source="Sun et al., ECCV 2018")
class PcbStream(nn.Module):
    """Horizontal stripes, each with its own classifier.

    Args:
        encoder: a ResNet, whose last stage will not halve its map.
        layer: where it is cut.
        channels: of its map.
        classes: identities trained on.
        parts: p, the stripes.
        width: dims per stripe.

    Example:
        >>> from crossband.models import create_encoder
        >>> encoder = create_encoder("resnet18", pretrained=False)
        >>> output = PcbStream(encoder, "layer4", 512, classes=10).eval()(torch.zeros(2, 3, 96, 64))
        >>> output.features.shape, output.scores.shape
        (torch.Size([2, 1536]), torch.Size([2, 6, 10]))
    """

    def __init__(
        self, encoder: Encoder, layer: str, channels: int, classes: int, parts: int = 6, width: int = 256
    ) -> None:
        super().__init__()
        remove_last_stride(resnet_stages(encoder, "PCB")[3])
        self.encoder, self.layer, self.dim, self.parts = encoder, layer, parts * width, parts
        self.reduce = nn.ModuleList([reduction(channels, width) for _ in range(parts)])
        self.classes = nn.ModuleList([nn.Linear(width, classes) for _ in range(parts)])

    def forward(self, images: torch.Tensor) -> StreamOutput:
        """Return features and scores of standardized images ``(b, 3, H, W)``."""
        stripes = F.adaptive_avg_pool2d(self.encoder(images, self.layer), (self.parts, 1))
        reduced = [layer(stripes[:, :, i : i + 1]).flatten(1) for i, layer in enumerate(self.reduce)]
        scores = [classify(part) for classify, part in zip(self.classes, reduced, strict=True)]
        return StreamOutput(torch.cat(reduced, 1), torch.stack(scores, 1))
