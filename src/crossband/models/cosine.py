"""A stream whose identities are told by angles, so that images of all bands can be drawn together.

Wang et al., "NormFace", ACM Multimedia 2017, section 3.3: scores are cosines between a frame's features and a
class's, times a scale. Features are pooled maps behind a BatchNorm, as in Luo et al., CVPR Workshops 2019.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError
from ..nn.batchnorm import ensure_batchnorm
from ..nn.encoder import Encoder
from .streams import StreamOutput, register_stream

__all__ = ["CosineStream"]


@register_stream("cosine", source="Wang et al., ACM Multimedia 2017")
class CosineStream(nn.Module):
    """Pooled maps, a BatchNorm, and classes by their angle.

    An encoder without BatchNorms, such as SqueezeNet, gets one behind each convolution
    (:func:`~crossband.nn.batchnorm.add_batchnorm`): it learns several times faster so.

    Args:
        encoder: image to feature map, ``(b, d, h, w)``.
        layer: where it is cut.
        channels: d.
        classes: identities trained on.
        scale: what cosines are multiplied by.

    Attributes:
        dim: d.

    Raises:
        CrossbandError: a scale that is not positive.

    Example:
        >>> from crossband.models import create_encoder
        >>> encoder = create_encoder("squeezenet1_1", pretrained=False)
        >>> stream = CosineStream(encoder, encoder.default_layer, 512, classes=10).eval()
        >>> output = stream(torch.zeros(2, 3, 64, 128))
        >>> output.features.shape, output.scores.shape
        (torch.Size([2, 512]), torch.Size([2, 1, 10]))
    """

    def __init__(self, encoder: Encoder, layer: str, channels: int, classes: int, scale: float = 20.0) -> None:
        super().__init__()
        if not scale > 0:
            raise CrossbandError(f"the scale of a cosine stream must be positive, not {scale}")
        ensure_batchnorm(encoder)
        self.encoder, self.layer, self.dim, self.scale = encoder, layer, channels, scale
        self.neck = nn.BatchNorm1d(channels)
        self.classes = nn.Linear(channels, classes, bias=False)

    def forward(self, images: torch.Tensor) -> StreamOutput:
        """Return features, also as embeddings, and scores of standardized images ``(b, 3, H, W)``."""
        features = self.neck(self.encoder(images, self.layer).float().mean((2, 3)))
        angles = F.linear(F.normalize(features, dim=1), F.normalize(self.classes.weight, dim=1))
        return StreamOutput(features, self.scale * angles[:, None], embeddings=features[:, None])
