"""A descriptor as one torch module: preprocessed images in, vectors out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ...bands import Band, parse_band
from ...errors import CrossbandError
from .descriptor import Descriptor

__all__ = ["DescriptorNetwork"]


class DescriptorNetwork(nn.Module):
    """Turn preprocessed images into the vectors of a descriptor; the same as its gallery keeps.

    What takes each band's mean away needs to know the band: :attr:`band`, where a call says no other. The means
    are those that came with a trained or fitted descriptor. One centered by the means of the set at hand
    (``crossband``) gives its vectors before that; :meth:`Descriptor.finish` does the rest.

    Args:
        descriptor: what is made a module.
        band: what images are of, where a call does not say.

    Attributes:
        digest: SHA-256 of the weights file.
        preprocess: image to tensor.

    Example:
        >>> from crossband.retrieval import Descriptor, Options
        >>> network = DescriptorNetwork(Descriptor.load("hog", Options(size=(64, 64), device="cpu")))
        >>> network(torch.rand(2, 3, 64, 64)).shape[0]
        2
    """

    def __init__(self, descriptor: Descriptor, band: Band | str = Band.RGB) -> None:
        super().__init__()
        self.band = parse_band(band)
        self.encoder, self.layer, self.pooling = descriptor.encoder, descriptor.layer, descriptor.pooling
        self.preprocess, self.digest = descriptor.preprocess, descriptor.weights_digest
        self.axes: torch.Tensor | None
        axes = None if descriptor.axes is None else torch.from_numpy(descriptor.axes).to(descriptor.device)
        self.register_buffer("axes", axes)
        known = descriptor.means if descriptor.center else None
        self.centered = tuple(known or ())
        for band, mean in (known or {}).items():
            self.register_buffer(f"mean_{band.value}", torch.from_numpy(mean).to(descriptor.device))

    def forward(self, images: torch.Tensor, band: Band | str | None = None) -> torch.Tensor:
        """Return vectors ``(B, dim)`` of images ``(B, 3, h, w)``, float32 and standardized.

        Args:
            images: as :attr:`preprocess` makes them.
            band: what they are of; :attr:`band` without it.

        Raises:
            CrossbandError: the band's mean is not known.
        """
        vectors = self.pooling(self.encoder(images, self.layer))
        if self.axes is None and not self.centered:
            return vectors
        vectors = F.normalize(vectors.float(), dim=1)
        if self.centered:
            asked = self.band if band is None else parse_band(band)
            if asked not in self.centered:
                raise CrossbandError(
                    f"no mean of the band {asked.value} is known; there is {', '.join(self.centered)}",
                    parameter="band",
                )
            vectors = vectors - getattr(self, f"mean_{asked.value}")
        return F.normalize(vectors if self.axes is None else vectors @ self.axes, dim=1)
