"""MGN, the multiple granularity network, of one band.

Wang et al., "Learning Discriminative Features with Multiple Granularities for Person Re-Identification", ACM
Multimedia 2018, figure 3. Extended to several bands as table 4 of Li et al. (AAAI 2020) does: one stream per
band, their features summed. The triplet loss is the recipe's ``loss.triplet``, on the three global embeddings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..nn.encoder import Encoder
from ..nn.resnet import late_branch, reduction, resnet_stages
from .streams import StreamOutput, register_stream

__all__ = ["MgnStream"]

_PARTS = (1, 2, 3)  # stripes of the three branches


@register_stream("mgn", source="Wang et al., ACM Multimedia 2018")
class MgnStream(nn.Module):
    """Three branches after ``res_conv4_1``.

    They see the whole; two stripes and the whole; three stripes and the whole.

    Identities are told from each whole before its reduction and from each stripe after it; the embeddings for
    the triplet loss are the wholes after it.

    Args:
        encoder: a ResNet; what follows its branching point is taken from it.
        layer: not used: the network branches where its paper says.
        channels: of the last map.
        classes: identities trained on.
        width: dims per embedding.

    Example:
        >>> from crossband.models import create_encoder
        >>> encoder = create_encoder("resnet18", pretrained=False)
        >>> output = MgnStream(encoder, "layer4", 512, classes=10).eval()(torch.zeros(2, 3, 96, 64))
        >>> output.features.shape, output.scores.shape, output.embeddings.shape
        (torch.Size([2, 2048]), torch.Size([2, 8, 10]), torch.Size([2, 3, 256]))
    """

    def __init__(self, encoder: Encoder, layer: str, channels: int, classes: int, width: int = 256) -> None:
        super().__init__()
        stages = resnet_stages(encoder, "MGN")
        self.branches = nn.ModuleList([late_branch(stages, strided=parts == 1) for parts in _PARTS])
        encoder.body.layer3, encoder.body.layer4 = nn.Sequential(stages[2][0]), nn.Identity()
        self.encoder, self.layer, self.dim = encoder, "layer3.0", 8 * width
        self.whole = nn.ModuleList([reduction(channels, width) for _ in _PARTS])
        self.whole_classes = nn.ModuleList([nn.Linear(channels, classes) for _ in _PARTS])
        stripes = sum(parts for parts in _PARTS if parts > 1)
        self.stripe = nn.ModuleList([reduction(channels, width) for _ in range(stripes)])
        self.stripe_classes = nn.ModuleList([nn.Linear(width, classes) for _ in range(stripes)])

    def forward(self, images: torch.Tensor) -> StreamOutput:
        """Return features, scores and embeddings of standardized images ``(b, 3, H, W)``."""
        shared = self.encoder(images, self.layer)
        maps = [branch(shared) for branch in self.branches]
        pooled = [F.adaptive_max_pool2d(one, 1) for one in maps]
        wholes = [reduce(one).flatten(1) for reduce, one in zip(self.whole, pooled, strict=True)]
        pieces = [
            stripe
            for one, parts in zip(maps, _PARTS, strict=True)
            if parts > 1
            for stripe in F.adaptive_max_pool2d(one, (parts, 1)).split(1, 2)
        ]
        stripes = [reduce(one).flatten(1) for reduce, one in zip(self.stripe, pieces, strict=True)]
        scores = [
            *(classify(one.flatten(1)) for classify, one in zip(self.whole_classes, pooled, strict=True)),
            *(classify(one) for classify, one in zip(self.stripe_classes, stripes, strict=True)),
        ]
        return StreamOutput(
            torch.cat([*wholes, *stripes], 1), torch.stack(scores, 1), embeddings=torch.stack(wholes, 1)
        )
