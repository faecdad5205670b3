"""VTUAV: 500 sequences from a UAV over two cities (Zhang et al., CVPR 2022).

Expected layout, as published (``zhang-pengyu/DUT-VTUAV``): archives ``train_ST_001.zip``,
``test_LT_001.zip``, ... of sequences, extracted side by side, sorted into folders of your own or not::

    ROOT/
      train_ST_001/                   or train/, test_ST/test_ST_001/, ..., or nothing
        bus_017/
          rgb/000000.jpg              RGB, 1920x1080
          ir/000000.jpg               thermal, 8 bit, the same name is the same moment
          rgb.txt, ir.txt             the target's box, a line each tenth frame (not read)

A folder above the sequence that starts with ``train`` or ``test`` tells the split. A sequence is a
``place``. Some sequences are in two archives (``pedestrian_040`` in ``train_ST_004`` and ``train_ST_006``):
the first is read, the others are left out, and said. Neighboring frames hardly differ; take each n-th
(``every``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..bands import Band
from ..frames import Frames
from ..progress import note
from ._pairs import Group, pair_groups
from ._registry import register_dataset

__all__ = ["read_vtuav"]

_DEPTHS = ("", "*/", "*/*/")


@register_dataset(
    "vtuav",
    title="VTUAV",
    bands=("rgb", "tir"),
    source="https://zhang-pengyu.github.io/DUT-VTUAV",
    license="none stated",
    marks=tuple(
        (f"{depth}*/rgb.txt", f"{depth}*/ir.txt", f"{depth}*/rgb", f"{depth}*/ir") for depth in _DEPTHS
    ),
)
def read_vtuav(root: Path) -> Frames:
    """Read the frames of VTUAV in ``root``."""
    return pair_groups(root, _groups(root), "[ARCHIVE/]SEQUENCE/rgb and [ARCHIVE/]SEQUENCE/ir")


def _groups(root: Path) -> Iterator[Group]:
    seen: dict[tuple[str | None, str], str] = {}
    for folder in sorted(folder for depth in _DEPTHS for folder in root.glob(f"{depth}*/rgb")):
        sequence = folder.parent
        if not (sequence / "ir").is_dir():
            continue
        name = sequence.relative_to(root).as_posix()
        split = _split(sequence.relative_to(root.parent))
        first = seen.setdefault((split, sequence.name), name)
        if first != name:
            note(f"{name} repeats {first} and is left out")
            continue
        columns = {"split": split, "place": sequence.name, "sequence": sequence.name}
        yield Group(name, {Band.RGB: folder, Band.TIR: sequence / "ir"}, columns)


def _split(path: Path) -> str | None:
    for part in path.parts[:-1]:
        for split in ("train", "test"):
            if part.lower().startswith(split):
                return split
    return None
