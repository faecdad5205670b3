"""The grammar of a descriptor's text, and the names that stand for one.

Written as text, a descriptor is ``ENCODER[@LAYER][:POOLING[+center]]``, as in ``squeezenet1_1``,
``mobilenet_v2@features.13`` or ``efficientnet_lite0@blocks.4:avg5s3+center``: a pooling
(:class:`crossband.nn.Pooling`), and ``center`` when each band's own mean is taken away, which removes the
shift between bands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...errors import CrossbandError
from ...models import find_model
from ...nn import Pooling

__all__ = ["DEFAULT_DESCRIPTOR", "PACKED", "PRESETS", "DescriptorSpec", "encoder_name", "names_encoder"]

# Chosen on docs/decisions.md's table: aligned and misaligned recall, both ways.
DEFAULT_DESCRIPTOR = "crossband"
PRESETS = {"crossband": "efficientnet_lite0@blocks.4:avg5s3+center"}
PACKED = {"crossband512": Path(__file__).parents[2] / "models" / "crossband512.safetensors"}
"""Trained descriptors that come with the package: name -> checkpoint; docs/retrieval.md has their figures."""


@dataclass(frozen=True)
class DescriptorSpec:
    """What a descriptor's text says.

    Attributes:
        encoder: the registered encoder.
        layer: where it is cut, ``None`` for its default.
        pooling: map to vector.
        center: whether each band's mean is taken away.
    """

    encoder: str
    layer: str | None
    pooling: Pooling
    center: bool

    @classmethod
    def parse(cls, text: str, also: Iterable[str] = ()) -> DescriptorSpec:
        """Read a descriptor's text, or the name of a preset; what it leaves out is the encoder's own.

        Args:
            text: the text or name.
            also: names that stand for models elsewhere, to be hinted at too.

        Raises:
            CrossbandError: an unknown encoder or pooling, or not one pooling.

        Example:
            >>> spec = DescriptorSpec.parse("crossband")
            >>> spec.encoder, spec.layer, str(spec.pooling), spec.center
            ('efficientnet_lite0', 'blocks.4', 'avg5s3', True)
        """
        head, steps = _parted(text)
        encoder, _, layer = head.partition("@")
        entry = find_model(encoder, also=[*PRESETS, *PACKED, *also])
        named = [step for step in (steps or entry.default_steps).split("+") if step]
        poolings = [step for step in named if step != "center"]
        if len(poolings) != 1:
            raise CrossbandError(f"a descriptor has one pooling; {steps!r} names {len(poolings)}")
        return cls(encoder, layer or None, Pooling.parse(poolings[0]), "center" in named)


def encoder_name(text: str) -> str:
    """Return the encoder that a descriptor's text names, whether or not there is one of that name.

    Example:
        >>> encoder_name("crossband"), encoder_name("resnet50@layer3:gem")
        ('efficientnet_lite0', 'resnet50')
    """
    return _parted(text)[0].partition("@")[0]


def names_encoder(text: str) -> bool:
    """Return whether a text names an encoder, so that a file of the same name beside it does not matter."""
    try:
        find_model(encoder_name(text))
    except CrossbandError:
        return False
    return True


def _parted(text: str) -> tuple[str, str]:
    """``ENCODER[@LAYER]`` and the steps behind it."""
    head, _, steps = PRESETS.get(text, text).partition(":")
    return head, steps
