"""Readers: 8- and 16-bit images, TIFF and radiometric JPEG, with every fault named."""

from .images import IMAGE_SUFFIXES, MAX_PIXELS, Image, as_image, image_size, read_bytes, read_image, read_labels

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Image",
    "as_image",
    "image_size",
    "read_bytes",
    "read_image",
    "read_labels",
]
