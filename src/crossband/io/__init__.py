"""Readers: 8- and 16-bit images, TIFF, radiometric files and tables of numbers, with every fault named."""

from .images import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    Image,
    as_image,
    begins_as_image,
    image_size,
    is_image_file,
    read_bytes,
    read_image,
    read_labels,
)
from .remarks import Remark, RemarkLog

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Image",
    "Remark",
    "RemarkLog",
    "as_image",
    "begins_as_image",
    "image_size",
    "is_image_file",
    "read_bytes",
    "read_image",
    "read_labels",
]
