"""The stream of HAMNet and of its baselines: an encoder, class activation maps, and their means as scores.

Li et al., "Multi-Spectral Vehicle Re-Identification: A Challenge", AAAI 2020, figure 5 and equation (1). The
one-stream baseline, MSN and HAMNet are this one network; they differ in their number of bands and in their loss
(:class:`crossband.losses.StreamsLoss`). Nothing of the public repository is used: it builds two bands only.

Of the five backbones of table 2, with the paper's input sizes (its "128 * 256" is height x width, as the crops
in the published data are):

===================  ==========================================  ==========  ===========================
the paper's name     here                                        H x W       note
===================  ==========================================  ==========  ===========================
ResNet50             ``resnet50``                                128 x 256
SeResNet50           ``timm/seresnet50``                         224 x 224
Densenet121          ``densenet121``                             128 x 256
InceptionResNetV3    ``timm/inception_resnet_v2``                299 x 299   there is no V3: the paper cited
                                                                             (Szegedy et al., 2017) describes
                                                                             Inception-ResNet v1 and v2
MobileNetV2          ``mobilenet_v2``                            128 x 256
===================  ==========================================  ==========  ===========================
"""

from __future__ import annotations

import torch
from torch import nn

from ..nn.encoder import Encoder
from .streams import StreamOutput, register_stream

__all__ = ["IdeStream"]


@register_stream("ide", source="Li et al., AAAI 2020; Zheng et al., TOMM 2018")
class IdeStream(nn.Module):
    """An ID-discriminative embedding of one band.

    Args:
        encoder: image to feature map F, ``(b, d, h, w)``.
        layer: where it is cut.
        channels: d.
        classes: C, the identities trained on.

    Example:
        >>> from crossband.models import create_encoder
        >>> encoder = create_encoder("squeezenet1_1", pretrained=False)
        >>> stream = IdeStream(encoder, encoder.default_layer, 512, classes=10)
        >>> output = stream(torch.zeros(2, 3, 64, 128))
        >>> output.features.shape, output.maps.shape, output.scores.shape
        (torch.Size([2, 512]), torch.Size([2, 10, 3, 7]), torch.Size([2, 1, 10]))
    """

    def __init__(self, encoder: Encoder, layer: str, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder, self.layer, self.dim = encoder, layer, channels
        self.classes = nn.Conv2d(channels, classes, 1, bias=False)  # W, (d, C)
        nn.init.normal_(self.classes.weight, std=0.001)

    def forward(self, images: torch.Tensor) -> StreamOutput:
        """Return features, scores and maps of standardized images ``(b, 3, H, W)``."""
        maps = self.encoder(images, self.layer)
        activation = self.classes(maps)
        return StreamOutput(maps.mean((2, 3)), activation.mean((2, 3))[:, None], activation)
