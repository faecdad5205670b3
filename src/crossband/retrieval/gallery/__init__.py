"""Galleries: descriptors kept on disk to be searched."""

from .exact import Match
from .gallery import Added, Gallery
from .indexing import index
from .searching import search

__all__ = ["Added", "Gallery", "Match", "index", "search"]
