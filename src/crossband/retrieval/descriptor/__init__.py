"""Descriptors: image to one vector. What a name means, how vectors are made, and the file they are kept in."""

from .descriptor import (
    DEFAULT_DESCRIPTOR,
    DEFAULT_OPTIONS,
    PACKED,
    PRESETS,
    Descriptor,
    Finish,
    FinishedRows,
    Options,
    list_packed,
)

__all__ = [
    "DEFAULT_DESCRIPTOR",
    "DEFAULT_OPTIONS",
    "PACKED",
    "PRESETS",
    "Descriptor",
    "Finish",
    "FinishedRows",
    "Options",
    "list_packed",
]
