"""Descriptors: image to one vector. What a name means, how vectors are made, and the file they are kept in."""

from .descriptor import DEFAULT_OPTIONS, Descriptor, Finish, FinishedRows, Options, distinct, unit_length
from .file import descriptor_metadata, list_packed, list_presets, read_descriptor
from .spec import DEFAULT_DESCRIPTOR, PACKED, PRESETS, DescriptorSpec, encoder_name

__all__ = [
    "DEFAULT_DESCRIPTOR",
    "DEFAULT_OPTIONS",
    "PACKED",
    "PRESETS",
    "Descriptor",
    "DescriptorSpec",
    "Finish",
    "FinishedRows",
    "Options",
    "descriptor_metadata",
    "distinct",
    "encoder_name",
    "list_packed",
    "list_presets",
    "read_descriptor",
    "unit_length",
]
