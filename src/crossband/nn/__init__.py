"""Parts that several models share: encoders cut at a layer, and pooling."""

from .encoder import Encoder
from .pooling import POOLINGS, Pooling

__all__ = ["POOLINGS", "Encoder", "Pooling"]
