"""Galleries: descriptors kept on disk to be searched."""

from .gallery import Gallery, Match, index, search

__all__ = ["Gallery", "Match", "index", "search"]
