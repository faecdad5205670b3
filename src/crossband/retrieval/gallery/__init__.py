"""Galleries: descriptors kept on disk to be searched."""

from .exact import Match
from .gallery import Added, Gallery, search
from .indexing import index

__all__ = ["Added", "Gallery", "Match", "index", "search"]
