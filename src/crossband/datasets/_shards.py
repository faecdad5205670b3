"""Tar files as WebDataset writes them: the files of a sample share a name up to its first dot."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

from ..bands import BANDS
from ..errors import CrossbandError
from ..frames import Frames
from ..stored import members

__all__ = ["guess_shards", "read_shards"]


def guess_shards(root: Path) -> list[Path]:
    """Return the tar files of a folder, in order."""
    return sorted(path for path in root.iterdir() if path.suffix == ".tar" and path.is_file())


def read_shards(root: Path, shards: list[Path]) -> Frames:
    """Return a frame for each sample of some tar files: ``NAME.rgb.png`` and ``NAME.tir.png``, say.

    Frames are called by the tar file and the sample. Members of other kinds are in no frame.

    Raises:
        CrossbandError: a file is no tar file, or no member is of a band.
    """
    rows: dict[str, dict[str, str]] = {}
    for shard in shards:
        try:
            names = members(shard)
        except (OSError, tarfile.TarError) as error:
            raise CrossbandError(f"{shard} is no tar file ({error}); mend it, or take it away") from None
        for name in names:
            sample, _, kind = PurePosixPath(name).name.partition(".")
            band = kind.partition(".")[0].lower()
            if band in BANDS and "." in kind:
                frame = f"{shard.stem}/{PurePosixPath(name).with_name(sample)}"
                rows.setdefault(frame, {"frame": frame})[band] = f"{shard.relative_to(root)}/{name}"
    if not rows:
        raise CrossbandError(
            f"no member of {shards[0]} is named after its band; WebDataset's way is NAME.rgb.png, NAME.tir.png"
        )
    return Frames.make(rows.values(), root)
