"""The manifest: a table with one row per frame and one image path per band."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from .bands import BANDS, Band, parse_band, parse_units
from .errors import CrossbandError
from .files import write_file
from .rigs import RigTransform
from .stored import stored_file

__all__ = ["COLUMNS", "MANIFESTS", "ROOT_KEY", "Frames", "find_manifest"]

COLUMNS: dict[str, str] = {
    "frame": "string",
    **{band.value: "string" for band in BANDS},
    "tir_units": "string",
    "split": "string",
    "place": "string",
    "identity": "string",
    "camera": "string",
    "sequence": "string",
    "day": "string",
    "time": "string",
    "x": "float64",
    "y": "float64",
    "lat": "float64",
    "lon": "float64",
    "condition": "string",
    "labels": "string",
    "boxes": "string",
    "rig": "string",
    "view": "string",
    "turn": "string",
}
_PATH_COLUMNS = (*(band.value for band in BANDS), "labels", "boxes")
ROOT_KEY = b"crossband_root"
"""Of a Parquet manifest's metadata: where its images lie, from its own folder."""

MANIFESTS = ("frames.parquet", "frames.csv")
"""What the manifest of a folder is called; the first that is there counts."""


def find_manifest(folder: str | Path) -> Path | None:
    """Return the manifest of a folder, ``None`` where it has none.

    Example:
        >>> find_manifest("gone") is None
        True
    """
    return next((path for name in MANIFESTS if (path := Path(folder) / name).is_file()), None)


@dataclass(frozen=True)
class Frames:
    """A table of frames: what the cameras saw at one moment, one image per band, with its metadata.

    Attributes:
        table: one row per frame. ``frame`` is a unique name; ``rgb``, ``nir`` and ``tir`` are image paths
            relative to ``root``, empty (NA) where a frame lacks the band; the other columns of
            :data:`COLUMNS` may be absent, and columns of your own are kept.
        root: the folder that the paths are relative to, and that none of them leaves.

    Example:
        >>> frames = Frames.make([{"frame": "a", "rgb": "rgb/a.png", "tir": "tir/a.png"}], root="data")
        >>> len(frames), frames.bands
        (1, (<Band.RGB: 'rgb'>, <Band.TIR: 'tir'>))
    """

    table: pd.DataFrame
    root: Path

    @classmethod
    def make(cls, rows: Iterable[Mapping[str, object]] | pd.DataFrame, root: str | Path) -> Frames:
        """Make frames from rows, checking names, columns and paths, not the files themselves.

        Raises:
            CrossbandError: no ``frame`` column, no band, a name used twice, unknown units, or a path that
                leaves ``root``.
        """
        table = rows.copy() if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
        return cls(_typed(table.reset_index(drop=True)), Path(root))._checked()

    @classmethod
    def read(cls, path: str | Path, root: str | Path | None = None) -> Frames:
        """Read a manifest, Parquet or CSV.

        Args:
            path: a ``.parquet`` or ``.csv`` file.
            root: the folder of the images; without it, the one the manifest records, else its own folder.

        Raises:
            CrossbandError: missing, unreadable, or not a manifest.
        """
        path = Path(path)
        stored = stored_file(path)
        if stored is None and not path.is_file():
            raise CrossbandError(f"no manifest at {path}; crossband data scan writes one")
        try:
            with open(path, "rb") if stored is None else stored.open() as file:
                table, recorded = _read_csv(file) if path.suffix == ".csv" else _read_parquet(file)
        except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:120]
            raise CrossbandError(f"{stored or path} is not a manifest (Parquet or CSV): {reason}") from None
        if root is None:  # relative to the real folder: ".." of a linked one is another
            real = path.parent if stored is not None else path.parent.resolve()
            root = path.parent if recorded == "." else real / recorded
        if stored_file(root) is None and not Path(root).is_dir():
            raise CrossbandError(
                f"the images of {path} should lie in {root}, which is no folder; give their folder",
                parameter="root",
            )
        return cls.make(table, Path(os.path.normpath(root)))

    def write(self, path: str | Path) -> Path:
        """Write the manifest, all or nothing; Parquet or CSV by its suffix.

        The folder of the images is recorded relative to the manifest, so the two can move together.

        Raises:
            CrossbandError: the folder cannot be written, or the suffix is neither.
        """
        path = Path(path)
        if path.suffix not in (".parquet", ".csv"):
            raise CrossbandError(f"a manifest is a .parquet or .csv file, not {path.name}")
        recorded = os.path.relpath(self.root.resolve(), path.parent.resolve())

        def write(partial: Path) -> None:
            if path.suffix == ".csv":
                with open(partial, "w", encoding="utf-8", newline="") as file:
                    file.write(f"# root: {recorded}\n")
                    self.table.to_csv(file, index=False)
            else:
                arrow = pa.Table.from_pandas(self.table, preserve_index=False)
                metadata = {**(arrow.schema.metadata or {}), ROOT_KEY: recorded.encode()}
                with open(partial, "wb") as sink:  # arrow itself opens no name that is not UTF-8
                    pa.parquet.write_table(arrow.replace_schema_metadata(metadata), sink)

        try:
            write_file(path, write)
        except pa.ArrowException as error:
            reason = " ".join(str(error).split())[:120]
            raise CrossbandError(f"{path} cannot hold these columns ({reason}); write a .csv") from None
        except OSError as error:
            raise CrossbandError(
                f"cannot write {path} ({error.strerror}); choose another file", parameter="out"
            ) from None
        except UnicodeEncodeError:
            raise CrossbandError(
                f"{path} cannot record where its images are, since a folder name is not UTF-8; "
                "write it next to them"
            ) from None
        return path

    def __len__(self) -> int:
        return len(self.table)

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands that at least one frame has, in the order rgb, nir, tir."""
        return tuple(
            band for band in BANDS if band.value in self.table and self.table[band.value].notna().any()
        )

    @property
    def names(self) -> list[str]:
        """The frames' names, in order."""
        return self.table["frame"].tolist()

    def has(self, column: str) -> bool:
        """Return whether the column is there and holds anything."""
        return column in self.table and bool(self.table[column].notna().any())

    def paths(self, band: Band | str) -> list[Path | None]:
        """Return the image of each frame in a band, ``None`` where it has none.

        No path leaves ``root`` by its text (``..``, absolute): such a manifest is refused. A link below
        ``root`` is followed wherever it points, since linking recordings into a folder is common; whoever
        can place links below ``root`` chooses what is read.

        Raises:
            CrossbandError: no frames have the band.
        """
        band = parse_band(band)
        if band not in self.bands:
            have = ", ".join(b.value for b in self.bands)
            raise CrossbandError(f"no frames have the band {band.value}; these have {have}")
        return [None if pd.isna(path) else self.root / path for path in self.table[band.value]]

    def units(self) -> list[str | None]:
        """Return the units of each frame's thermal pixels, ``None`` where they are unknown."""
        if "tir_units" not in self.table:
            return [None] * len(self)
        return [None if pd.isna(units) else units for units in self.table["tir_units"]]

    def rigs(self) -> list[RigTransform | None]:
        """Return the transform between the cameras of each frame, ``None`` where none is kept."""
        if "rig" not in self.table:
            return [None] * len(self)
        return [None if pd.isna(text) else RigTransform.parse(text) for text in self.table["rig"]]

    @property
    def rig(self) -> RigTransform | None:
        """The one rig of these frames, or ``None``.

        Raises:
            CrossbandError: they are of several rigs, or some of one and some of none.
        """
        if not self.has("rig"):
            return None
        texts = self.table["rig"].unique()
        if len(texts) > 1:
            raise CrossbandError(
                "these frames are of several rigs, or some are of none; describe those of one rig at a time",
                parameter="rig",
            )
        return RigTransform.parse(texts[0])

    def with_rig(self, rig: RigTransform | str | Path | None) -> Frames:
        """Return these frames with the transform between their cameras: a ``rig.json``, or what it says.

        Whatever reads images of these frames then sees the second band as the first camera would have.

        Raises:
            CrossbandError: no rig, or one of bands that these frames do not have.
        """
        if rig is None:
            return self
        transform = rig if isinstance(rig, RigTransform) else RigTransform.read(rig)
        lacking = [band.value for band in (transform.first, transform.second) if band not in self.bands]
        if lacking:
            raise CrossbandError(
                f"the rig is of {transform.first.value} and {transform.second.value}, and these frames have "
                f"no {' and no '.join(lacking)}",
                parameter="rig",
            )
        return self.assign(rig=transform.text)

    def one(self, column: str) -> str:
        """Return the one text that all frames have in a column, ``""`` where none has any.

        Raises:
            CrossbandError: they have several.
        """
        if not self.has(column):
            return ""
        texts = self.table[column].fillna("").unique()
        if len(texts) > 1:
            raise CrossbandError(
                f"these frames have several values of {column}, such as {', '.join(map(repr, texts[:3]))}; "
                "describe those of one at a time",
                parameter=column,
            )
        return str(texts[0])

    def select(self, rows: np.ndarray | pd.Series | slice) -> Frames:
        """Return the frames of a boolean mask, positions or a slice, in their order."""
        rows = rows if isinstance(rows, slice) else np.asarray(rows, None if len(rows) else np.intp)
        table = self.table[rows] if isinstance(rows, slice) or rows.dtype == bool else self.table.iloc[rows]
        return Frames(table.reset_index(drop=True), self.root)

    def assign(self, **columns: Any) -> Frames:
        """Return these frames with columns set: one value for all, or one per frame.

        Example:
            >>> frames = Frames.make([{"frame": "a", "rgb": "a.png"}], root=".")
            >>> frames.assign(split="test", place=["bridge"]).table["place"].tolist()
            ['bridge']
        """
        return Frames.make(self.table.assign(**columns), self.root)

    def split(self, *names: str) -> Frames:
        """Return the frames of the named splits.

        Raises:
            CrossbandError: no frame is in them.
        """
        mask = self.table["split"].isin(names) if "split" in self.table else np.zeros(len(self), bool)
        if not np.any(mask):
            have = sorted(self.table["split"].dropna().unique()) if "split" in self.table else []
            raise CrossbandError(
                f"no frames in split {' or '.join(names)}; there are {', '.join(have) or 'none'}"
            )
        return self.select(mask)

    def every(self, n: int) -> Frames:
        """Return each ``n``-th frame of each sequence (of the table, where there are none).

        This is the paper's sampling of temporally correlated sets.
        """
        if n <= 1:
            return self
        if not self.has("sequence"):
            return self.select(slice(None, None, n))
        position = self.table.groupby("sequence", dropna=False, sort=False).cumcount()
        return self.select(position % n == 0)

    def _checked(self) -> Frames:
        table = self.table
        if "frame" not in table or not any(band.value in table for band in BANDS):
            raise CrossbandError(
                "a manifest needs a column 'frame' and at least one of rgb, nir, tir; "
                f"this one has {', '.join(map(str, table.columns)) or 'none'}"
            )
        if len(table) and table["frame"].isna().any():
            raise CrossbandError("every row of a manifest needs a frame name; some have an empty 'frame'")
        twice = table["frame"][table["frame"].duplicated()]
        if len(twice):
            raise CrossbandError(f"frame names must be unique; {twice.iloc[0]!r} appears twice")
        for units in table["tir_units"].dropna().unique() if "tir_units" in table else ():
            parse_units(units)
        for text in table["rig"].dropna().unique() if "rig" in table else ():
            try:
                RigTransform.parse(text)
            except CrossbandError as error:
                raise CrossbandError(f"column 'rig' of the manifest holds no rig ({error})") from None
        for column in _PATH_COLUMNS:
            for path in table[column].dropna() if column in table else ():
                if leaves_folder(path):
                    raise CrossbandError(f"paths must stay inside the manifest's folder; {column} has {path!r}")
        return self


def leaves_folder(path: str) -> bool:
    """Return whether a relative path points outside the folder it is relative to.

    Example:
        >>> leaves_folder("rgb/a.png"), leaves_folder("../a.png"), leaves_folder("/etc/passwd")
        (False, True, True)
    """
    drive = path[1:2] == ":" and (path[2:3] in ("/", "\\", "") or os.name == "nt")  # 1:05.png is a name
    parts = path.replace("\\", "/").split("/")
    return path.startswith(("/", "\\")) or drive or parts[0] == "~" or ".." in parts or "\0" in path


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    for column, kind in COLUMNS.items():
        if column not in table:
            continue
        if kind == "float64":
            try:
                table[column] = pd.to_numeric(table[column]).astype("float64")
            except (ValueError, TypeError):
                raise CrossbandError(
                    f"column {column!r} of the manifest must hold numbers; one of its values is not a number"
                ) from None
        else:
            as_is = column == "frame" or column in _PATH_COLUMNS  # a file's name may begin with a blank
            table[column] = _as_text(_no_bytes(table[column], column), as_is)
    known = [column for column in COLUMNS if column in table]
    return table[known + [column for column in table if column not in COLUMNS]]


def _no_bytes(values: pd.Series, column: str) -> pd.Series:
    """Text that a file keeps as bytes, as text.

    Raises:
        CrossbandError: it is no UTF-8, or no single value a row.
    """
    if values.dtype != object:
        return values
    try:
        return values.map(lambda v: v.decode("utf-8") if isinstance(v, bytes) else v)
    except UnicodeDecodeError:
        raise CrossbandError(f"column {column!r} of the manifest holds text; a value is no UTF-8") from None


def _as_text(values: pd.Series, as_is: bool) -> pd.Series:
    """Strings, without blanks around them unless they are to stay; NA where nothing is left. A whole number is
    written without a point."""
    if pd.api.types.is_float_dtype(values):  # integers with a gap arrive as floats
        values = values.convert_dtypes()
    text = values.astype("string")
    bare = text.str.strip() if len(text) else text
    return (text if as_is else bare).mask(bare == "")


def _read_parquet(file: BinaryIO) -> tuple[pd.DataFrame, str]:
    arrow = pa.parquet.read_table(file)
    recorded = (arrow.schema.metadata or {}).get(ROOT_KEY, b".").decode()
    # what pandas left in the file of its own index is not ours, and may say anything
    return arrow.replace_schema_metadata(None).to_pandas(), recorded


def _read_csv(file: BinaryIO) -> tuple[pd.DataFrame, str]:
    content = BytesIO(file.read())
    first = content.readline().decode("utf-8-sig")
    content.seek(0)
    recorded = first.removeprefix("# root:").strip(" \r\n") if first.startswith("# root:") else "."
    text = {column for column, kind in COLUMNS.items() if kind == "string"}
    table = pd.read_csv(
        content,
        skiprows=int(recorded != "." or first.startswith("# root:")),
        encoding="utf-8-sig",
        dtype=dict.fromkeys(text, "string"),
        keep_default_na=False,
        na_values=[""],
    )
    return table, recorded
