"""The program of a decoder process: image files come in by a pipe, pixels and pictures go out.

A message is the length of its head (4 bytes), the head (JSON) and ``head["bytes"]`` bytes. Nothing is pickled
on either side, and the process has the memory that it was given and no more.
"""

from __future__ import annotations

import contextlib
import json
import struct
import sys
from collections import OrderedDict
from typing import Any, BinaryIO

from ..bands import Band, Units
from ..errors import CrossbandError
from ..io import Image
from . import pictures

__all__ = ["pack", "read_message", "run"]

_LONGEST_HEAD = 1 << 20
_KEPT = 4  # decoded images, for the next picture or pixel of the same one
_KEPT_BYTES = 256 << 20


def pack(head: dict[str, Any], body: bytes = b"") -> list[bytes]:
    """Return a message in pieces.

    Example:
        >>> pack({"a": 1}, b"xy")[1:]
        [b'{"a": 1, "bytes": 2}', b'xy']
    """
    text = json.dumps({**head, "bytes": len(body)}).encode()
    return [struct.pack("<I", len(text)), text, body]


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read a message; ``None`` where the stream has ended."""
    start = stream.read(4)
    if len(start) < 4:
        return None
    (length,) = struct.unpack("<I", start)
    if length > _LONGEST_HEAD:
        raise ValueError("a head that is too long")
    head = json.loads(stream.read(length))
    return head, stream.read(head["bytes"]) if head["bytes"] else b""


class _Answers:
    """What the program does with one message."""

    def __init__(self, max_pixels: int) -> None:
        self._most = max_pixels
        self._kept: OrderedDict[tuple[object, ...], Image] = OrderedDict()

    def answer(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Do what a message asks.

        Raises:
            CrossbandError: it cannot be done.
        """
        if head["do"] == "ready":
            return {}, b""
        if head["do"] == "guess":
            return pictures.guess(body, self._most), b""
        units = None if head.get("units") is None else Units(head["units"])
        crop = None if head.get("crop") is None else tuple(head["crop"])
        asked = pictures.Asked(Band(head["band"]), units, head.get("frame", 0), crop)
        whole = self._image(head, body, asked)
        if whole is None:
            return {"again": True}, b""
        image = pictures.cropped(whole, asked.crop)
        if head["do"] == "pixels":
            said = [remark.text for remark in image.remarks]
            form = {"shape": image.pixels.shape, "dtype": str(image.pixels.dtype), "units": image.units.value}
            return {**form, "remarks": said}, image.pixels.tobytes()
        if head["do"] == "value":
            return pictures.value(image, asked.band, head["x"], head["y"]), b""
        return pictures.render(
            image, asked.band, head["palette"], head["low"], head["high"], head["size"], head["kind"]
        )

    def _image(self, head: dict[str, Any], body: bytes, asked: pictures.Asked) -> Image | None:
        key = (head["key"], asked.band, asked.units, asked.frame)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if head.get("path") is not None:
            body = pictures.read_file(head["path"])
        elif not body:
            return None  # it was kept once, and is no more
        image = pictures.decode(body, asked, self._most)
        if image.pixels.nbytes <= _KEPT_BYTES // _KEPT:
            self._kept[key] = image
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return image


def run(memory: int, max_pixels: int) -> None:
    """Answer messages until standard input ends."""
    _limit(memory)
    answers, source, target = _Answers(max_pixels), sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever a library prints does not get into the answers
    while (message := read_message(source)) is not None:
        try:
            head, body = answers.answer(*message)
        except CrossbandError as error:
            head, body = {"error": str(error), "parameter": error.parameter}, b""
        except MemoryError:
            head, body = {"error": "the image takes more memory than it may", "parameter": "image"}, b""
        except Exception as error:  # a library that stumbles over a damaged file says so in its own way
            kind = type(error).__name__
            head, body = {"error": f"the image cannot be decoded ({kind})", "parameter": "image"}, b""
        for piece in pack(head, body):
            target.write(piece)
        target.flush()


def _limit(memory: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]))
