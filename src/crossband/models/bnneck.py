"""A stream whose identities are told behind a BatchNorm, so that what is compared can be drawn together.

Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person Re-Identification", CVPR Workshops 2019, figure
5. Distances (the triplet loss) are of the pooled maps, classes of what the neck makes of them; the latter is
compared when searching.
"""

from __future__ import annotations

import torch
from torch import nn

from ..nn.encoder import Encoder
from .streams import StreamOutput, register_stream

__all__ = ["BnneckStream"]


@register_stream("bnneck", source="Luo et al., CVPR Workshops 2019")
class BnneckStream(nn.Module):
    """Pooled maps, a BatchNorm, and classes without bias.

    Args:
        encoder: image to feature map, ``(b, d, h, w)``.
        layer: where it is cut.
        channels: d.
        classes: identities trained on.

    Example:
        >>> from crossband.models import create_encoder
        >>> encoder = create_encoder("squeezenet1_1", pretrained=False)
        >>> stream = BnneckStream(encoder, encoder.default_layer, 512, classes=10).eval()
        >>> output = stream(torch.zeros(2, 3, 64, 128))
        >>> output.features.shape, output.scores.shape, output.embeddings.shape
        (torch.Size([2, 512]), torch.Size([2, 1, 10]), torch.Size([2, 1, 512]))
    """

    def __init__(self, encoder: Encoder, layer: str, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder, self.layer, self.dim = encoder, layer, channels
        self.neck = nn.BatchNorm1d(channels)
        self.classes = nn.Linear(channels, classes, bias=False)
        nn.init.normal_(self.classes.weight, std=0.001)

    def forward(self, images: torch.Tensor) -> StreamOutput:
        """Return features, scores and embeddings of standardized images ``(b, 3, H, W)``."""
        pooled = self.encoder(images, self.layer).float().mean((2, 3))
        features = self.neck(pooled)
        return StreamOutput(features, self.classes(features)[:, None], embeddings=pooled[:, None])
