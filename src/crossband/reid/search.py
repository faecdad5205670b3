"""Which frames show the same object? A query against a gallery of frames, over any bands, cameras and hours."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import PIL.Image

from ..bands import Band, parse_band
from ..checkpoints import complete_metadata, load_network
from ..data.items import FrameItems
from ..data.preprocess import Preprocess
from ..datasets import open_frames
from ..datasets.check import say_left_out
from ..devices import choose_device
from ..errors import CrossbandError, ImageFault, unknown_name
from ..files import make_folder, write_file
from ..frames import Frames
from ..io import read_image
from ..models import create_streams
from ..models.streams import Streams
from ..progress import note
from ..reports.strips import Tile, save_picture, strip
from ..results import Result
from ..retrieval.descriptor_cache import DescriptorStore
from ..stored import is_there
from ..weights import file_digest
from .describe import Emphasis, describe_frames
from .evaluation import FrameVectors, fuse
from .k_reciprocal import rerank_blocks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ReidMatch", "ReidNetwork", "ReidResult", "load_reid", "reid"]

_CHUNK = 256  # frames described between two looks at the store


@dataclass(frozen=True)
class ReidNetwork:
    """A trained network of streams and how its images are read.

    Attributes:
        network: in evaluation.
        preprocess: image to tensor.
        digest: SHA-256 of the checkpoint.
        descriptor: what its recipe compares, ``features`` or ``scores``.
        emphasis: its recipe's.
    """

    network: Streams
    preprocess: Preprocess
    digest: str
    descriptor: str = "features"
    emphasis: Emphasis = field(default_factory=Emphasis)

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands, one per stream."""
        return self.network.bands


def load_reid(checkpoint: str | Path, device: str = "cpu") -> ReidNetwork:
    """Load the network of a checkpoint of ``crossband train``; neither frames nor weights are needed.

    Raises:
        CrossbandError: no checkpoint, a damaged one, or one of another task.
    """
    from ..checkpoints import read_metadata

    metadata = read_metadata(checkpoint)
    recipe = metadata["recipe"]
    where = choose_device(device)
    if recipe.get("task") != "reidentification":
        raise CrossbandError(
            f"{checkpoint} was trained for {recipe.get('task')}; crossband train recipes/reid/city_msn.yaml "
            "makes one that re-identifies"
        )
    with complete_metadata(checkpoint):
        model, data = recipe["model"], recipe["data"]
        network, _ = create_streams(
            data["bands"],
            len(metadata["classes"]),
            model["stream"],
            model["encoder"],
            layer=model["layer"],
            size=tuple(data["size"]),
            options=model["options"],
            pretrained=False,
            shared=model.get("shared", False),
        )
        preprocess = Preprocess.from_description(metadata["preprocess"])
        descriptor = recipe["scoring"].get("descriptor", "features")
        emphasis = Emphasis.of(recipe["scoring"])
    load_network(checkpoint, network)
    network = network.eval().requires_grad_(False).to(where)
    return ReidNetwork(network, preprocess, file_digest(Path(checkpoint)), descriptor, emphasis)


@dataclass(frozen=True)
class ReidMatch:
    """A gallery frame.

    Attributes:
        rank: 1 is nearest.
        frame: its name.
        distance: cosine distance of the fused features, 0 to 2; or the re-ranked one, 0 to 1.
        identity: where the manifest says; ``camera`` and ``time`` likewise.
        paths: band -> image.
    """

    rank: int
    frame: str
    distance: float
    identity: str | None
    camera: str | None
    time: str | None
    paths: dict[str, str]


@dataclass(frozen=True, repr=False)
class ReidResult(Result):
    """What a query found.

    Attributes:
        query: its name; ``query_paths`` its images by band.
        identity: of the query, where it is known; ``camera`` and ``time`` likewise.
        query_bands: the bands used of the query, ``gallery_bands`` of the gallery.
        descriptor: what the recipe compares, ``features`` or ``scores``; ``scores`` where the two have no band
            in common.
        n_gallery: frames that were searched; ``n_left_out`` were not, by camera or time or for want of a band.
        matches: best first.
    """

    query: str
    query_paths: dict[str, str]
    identity: str | None
    camera: str | None
    time: str | None
    query_bands: list[str]
    gallery_bands: list[str]
    descriptor: str
    n_gallery: int
    n_left_out: int
    matches: list[ReidMatch]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per match, without the paths of its images."""
        columns = ["rank", "frame", "distance", "identity", "camera", "time"]
        return pd.DataFrame([asdict(match) for match in self.matches], columns=[*columns, "paths"])[columns]

    def save_strip(self, path: str | Path) -> Path:
        """Save the query and its matches side by side, one row per band.

        A match is framed green where its identity is the query's and red where it is another.

        Raises:
            CrossbandError: the file cannot be written.
        """
        return save_picture(self._strip(), path)

    def plot(self) -> Figure:
        """Draw the query and its matches side by side; see :meth:`save_strip`."""
        from ..reports.plots import picture_figure

        return picture_figure(self._strip())

    def report(self, folder: str | Path) -> Path:
        """Write ``reid.json``, ``reid.csv`` and ``matches.jpg`` into a folder; gives the folder."""
        out = make_folder(folder)
        self.to_json(out / "reid.json")
        write_file(out / "reid.csv", lambda path: self.to_pandas().to_csv(path, index=False))
        self.save_strip(out / "matches.jpg")
        return out

    def _strip(self) -> PIL.Image.Image:
        bands = [band for band in ("rgb", "nir", "tir") if self._shown(band)]
        return strip([self._row(band, band == bands[-1]) for band in bands])

    def _shown(self, band: str) -> bool:
        return band in self.query_paths or any(band in match.paths for match in self.matches)

    def _row(self, band: str, last: bool) -> list[Tile]:
        """The pictures of a band; what they are of stands below the last row only."""
        tiles = [
            Tile(
                self.query_paths.get(band, f"no {band}"),
                band,
                f"query {self.identity or self.query}" if last else "",
                _words(self.camera, self.time) if last else "",
                corner=band + _unused(band, self.query_bands),
            )
        ]
        for match in self.matches:
            known = self.identity is not None and match.identity is not None
            tiles.append(
                Tile(
                    match.paths.get(band, f"no {band}"),
                    band,
                    f"{match.rank}. {match.identity or match.frame}, {match.distance:.3f}" if last else "",
                    _words(match.camera, match.time) if last else "",
                    match.identity == self.identity if known else None,
                )
            )
        return tiles


def reid(
    query: str | Path | Mapping[str, str | Path],
    gallery: str | Path | Frames,
    checkpoint: str | Path | ReidNetwork,
    k: int = 10,
    *,
    band: str = "rgb",
    query_bands: Sequence[str] | None = None,
    gallery_bands: Sequence[str] | None = None,
    camera: Iterable[str] = (),
    after: str | None = None,
    before: str | None = None,
    rerank: bool = False,
    store: str | Path | None = None,
    device: str = "cpu",
) -> ReidResult:
    """Search a gallery for a query's object, by a trained network of streams.

    Args:
        query: an image, the name of a frame of the gallery, or band -> image; a frame of the gallery that is
            asked for, by its name or by one of its files, is left out of it.
        gallery: a manifest, a folder, or frames.
        checkpoint: of ``crossband train`` with a recipe of re-identification.
        k: how many matches.
        band: of a query that is one image.
        query_bands: of those the query has, which to use; all by default.
        gallery_bands: likewise of the gallery. Where query and gallery share no band, class scores are compared
            whatever the recipe says, unless one network reads all bands.
        camera: only frames of these.
        after: only frames at this time or later, as in the column ``time``; ``before`` or earlier.
        rerank: by k-reciprocal neighbors within the gallery.
        store: a folder where the gallery's descriptors are kept for the next query.
        device: where the network of a checkpoint runs: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        CrossbandError: no such query, gallery, checkpoint, band or column, or nothing left to search.
    """
    loaded = checkpoint if isinstance(checkpoint, ReidNetwork) else load_reid(checkpoint, device)
    only = parse_band(gallery_bands[0] if gallery_bands else band)
    frames = gallery if isinstance(gallery, Frames) else open_frames(gallery, band=only)
    asked, own = _query_frames(query, frames, band)
    mine = _columns(loaded.bands, query_bands, asked, "query")
    theirs = _columns(loaded.bands, gallery_bands, frames, "gallery")
    keep = _chosen(frames, list(camera), after, before)
    keep[own] = False
    asked_vectors = _describe_query(loaded, asked, mine)  # first: a gallery may take hours
    vectors = _describe(loaded, frames.select(keep), store)
    usable = np.asarray(vectors.present[:, theirs].any(1))
    searched = frames.select(keep).select(usable)
    if not len(searched):
        raise CrossbandError(
            "nothing is left of the gallery; look at the cameras, the times and the bands",
            parameter="camera",
        )
    alike = loaded.network.comparable or set(mine) & set(theirs)
    descriptor = loaded.descriptor if alike else "scores"
    vector, _ = fuse(asked_vectors.compared(descriptor), asked_vectors.present, mine)
    rows, _ = fuse(vectors.compared(descriptor)[usable], vectors.present[usable], theirs)
    distances = next(rerank_blocks(vector, rows))[1][0] if rerank else 1 - rows @ vector[0]
    order = np.argsort(distances, kind="stable")[:k]
    bands = loaded.bands
    return ReidResult(
        query=asked.names[0],
        query_paths=_paths(asked, 0),
        identity=_said(asked, 0, "identity"),
        camera=_said(asked, 0, "camera"),
        time=_said(asked, 0, "time"),
        query_bands=[bands[i] for i in mine],
        gallery_bands=[bands[i] for i in theirs],
        descriptor=descriptor,
        n_gallery=len(searched),
        n_left_out=len(frames) - len(searched),
        matches=[_match(rank, searched, int(row), float(distances[row])) for rank, row in enumerate(order, 1)],
    )


def frames_beside(query: str | Path, band: str = "rgb") -> Frames:
    """Open the pictures that lie beside a query's file.

    They are those of its folder; where that is named after a band, those of the bands' folders beside it.

    Args:
        query: the file.
        band: of the pictures, where their folder does not tell.

    Raises:
        CrossbandError: there are none.
    """
    folder = Path(query).absolute().parent
    if folder.name in set(Band):
        with contextlib.suppress(CrossbandError):  # one band alone
            return open_frames(folder.parent)
    return open_frames(folder, band=band)


def _query_frames(
    query: str | Path | Mapping[str, str | Path], frames: Frames, band: str
) -> tuple[Frames, np.ndarray]:
    """The query as one frame, and which rows of the gallery it is."""
    if not isinstance(query, Mapping):
        own = np.flatnonzero(frames.table["frame"].to_numpy() == str(query))
        if len(own):
            return frames.select(own), own
        if not is_there(query):
            raise CrossbandError(f"{query} is neither an image file nor the name of a gallery frame")
        query = {band: query}
    paths = {parse_band(name).value: Path(path).absolute() for name, path in query.items()}
    for path in paths.values():
        if not is_there(path):
            raise CrossbandError(f"no image at {path}; check the query's name")
    if "rgb" in paths and _of_one_deep_channel(paths["rgb"]):
        note(
            f"{paths['rgb'].name} has one channel of 16 bits, as thermal cameras write; is it of the band tir?"
        )
    anchor = Path(next(iter(paths.values())).anchor)
    row = {name: path.relative_to(anchor).as_posix() for name, path in paths.items()}
    rig = frames.table["rig"].iloc[0] if frames.has("rig") and len(row) > 1 else None
    query_frame = {"frame": next(iter(paths.values())).stem, **row, **({"rig": rig} if rig else {})}
    return Frames.make([query_frame], anchor), _own_rows(paths, frames)


def _of_one_deep_channel(path: Path) -> bool:
    try:
        pixels = read_image(path, "rgb").pixels
    except ImageFault:
        return False  # said where it is described
    return pixels.ndim == 2 and pixels.dtype == np.uint16


def _own_rows(paths: Mapping[str, Path], frames: Frames) -> np.ndarray:
    """The gallery's rows that are the very files of the query."""
    own = np.zeros(len(frames), bool)
    for band in frames.bands:
        for row, file in enumerate(frames.paths(band)):
            own[row] |= any(_same_file(path, file) for path in paths.values())
    return np.flatnonzero(own)


def _same_file(path: Path, file: Path | None) -> bool:
    """Whether both are one; links count, under the same name."""
    if file is None or file.name != path.name:
        return False
    with contextlib.suppress(OSError):  # gone, or not on this machine
        return path.samefile(file)
    return False


def _columns(known: Sequence[str], wanted: Sequence[str] | None, frames: Frames, what: str) -> list[int]:
    """The positions of some bands among the network's; all that the frames have by default."""
    have = [band.value for band in frames.bands]
    names = [parse_band(band).value for band in wanted] if wanted else [band for band in known if band in have]
    for name in names:
        if name not in known:
            raise CrossbandError(f"the checkpoint has no stream of {name}; it has {', '.join(known)}")
        if name not in have:
            raise CrossbandError(f"the {what} has no {name} image; it has {', '.join(have)}")
    if not names:
        raise CrossbandError(
            f"the {what} has {', '.join(have)} and the checkpoint {', '.join(known)}, which have none in common"
        )
    return [known.index(name) for name in dict.fromkeys(names)]


def _chosen(frames: Frames, cameras: list[str], after: str | None, before: str | None) -> np.ndarray:
    """Which frames are of these cameras and times, boolean."""
    keep = np.ones(len(frames), bool)
    if cameras:
        have = _column(frames, "camera").dropna().unique().tolist()
        for camera in cameras:
            if camera not in have:
                raise unknown_name("camera", camera, have)
        keep &= _column(frames, "camera").isin(cameras).to_numpy(bool)
    if after is not None or before is not None:
        times = _times(_column(frames, "time"), "the column time", "")
        if after is not None:
            keep &= (times >= _times(pd.Series([after]), "after", "after")[0]).to_numpy(bool)
        if before is not None:
            keep &= (times <= _times(pd.Series([before]), "before", "before")[0]).to_numpy(bool)
    return keep


def _column(frames: Frames, column: str) -> pd.Series:
    if not frames.has(column):
        raise CrossbandError(f"these frames have no column {column!r} to filter by")
    return frames.table[column]


def _times(values: pd.Series, where: str, parameter: str) -> pd.Series:
    """Seconds, of numbers or of ISO 8601."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().sum() == values.notna().sum():
        return numbers.astype(float)
    try:
        moments = pd.to_datetime(values, utc=True, format="ISO8601")
    except (ValueError, OverflowError):
        raise CrossbandError(
            f"{where} is neither seconds nor ISO 8601, as in 2025-07-18T18:05", parameter=parameter
        ) from None
    return (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds()


def _describe(loaded: ReidNetwork, frames: Frames, store: str | Path | None) -> FrameVectors:
    """The vectors of all frames; what the store has is not computed again, and what is computed is kept."""
    if store is None or not len(frames):
        items = FrameItems(frames, loaded.bands, loaded.preprocess) if len(frames) else None
        vectors = _nothing(len(loaded.bands))
        if items:
            vectors = describe_frames(loaded.network, items, emphasis=loaded.emphasis)
        _say_faults(items)
        return vectors
    kept = DescriptorStore(store, f"reid-{loaded.digest[:32]}")
    keys = [_key(frames, row, loaded.bands) for row in range(len(frames))]
    missing = [row for row, key in enumerate(keys) if key not in kept]
    shape = None
    for start in range(0, len(missing), _CHUNK):
        rows = np.array(missing[start : start + _CHUNK])
        items = FrameItems(frames.select(rows), loaded.bands, loaded.preprocess)
        found = describe_frames(loaded.network, items, emphasis=loaded.emphasis)
        shape = (found.features.shape[2], found.scores.shape[2])
        for place, row in enumerate(rows.tolist()):
            kept.add(keys[row], _packed(found, place))
        kept.flush()
        _say_faults(items)
    return _unpacked(kept.select(keys).rows(0, len(keys)), loaded, shape)


def _describe_query(loaded: ReidNetwork, asked: Frames, columns: Sequence[int]) -> FrameVectors:
    items = FrameItems(asked, loaded.bands, loaded.preprocess)
    _, present = items.batch(np.array([0]))
    if not present[0, list(columns)].any():
        raise CrossbandError(f"the query cannot be read: {next(iter(items.faults.values()))}")
    return describe_frames(loaded.network, items, emphasis=loaded.emphasis)


def _packed(vectors: FrameVectors, row: int) -> np.ndarray:
    parts = (vectors.features[row], vectors.scores[row], vectors.weights[row], vectors.present[row])
    return np.concatenate([np.asarray(part, np.float32).ravel() for part in parts])


def _unpacked(rows: np.ndarray, loaded: ReidNetwork, shape: tuple[int, int] | None) -> FrameVectors:
    m = len(loaded.bands)
    d = shape[0] if shape else loaded.network.dim
    classes = rows.shape[1] // m - d - 2
    sizes = np.cumsum([m * d, m * classes, m])
    features, scores, weights, present = np.split(np.asarray(rows, np.float32), sizes, axis=1)
    return FrameVectors(features.reshape(-1, m, d), scores.reshape(-1, m, classes), weights, present > 0.5)


def _nothing(m: int) -> FrameVectors:
    return FrameVectors(
        np.zeros((0, m, 1), np.float32),
        np.zeros((0, m, 1), np.float32),
        np.zeros((0, m), np.float32),
        np.zeros((0, m), bool),
    )


def _key(frames: Frames, row: int, bands: Sequence[str]) -> str:
    """What a frame's vectors depend on: its files, by path, size and time of change."""
    parts: list[Any] = [_said(frames, row, "tir_units")]
    if rig := _said(frames, row, "rig"):
        parts.append(rig)
    for band in bands:
        path = _paths(frames, row).get(band)
        try:
            status = Path(path).stat() if path is not None else None
        except OSError:
            status = None
        parts.append([band, path, status and status.st_size, status and status.st_mtime_ns])
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _say_faults(items: FrameItems | None) -> None:
    if items is not None:
        say_left_out(list(items.faults.values()))
        items.remarks.say()


def _paths(frames: Frames, row: int) -> dict[str, str]:
    table = frames.table.iloc[row]
    return {
        band.value: str(frames.root / table[band.value]) for band in frames.bands if pd.notna(table[band.value])
    }


def _said(frames: Frames, row: int, column: str) -> str | None:
    value = frames.table[column].iloc[row] if column in frames.table else None
    return None if value is None or pd.isna(value) else str(value)


def _match(rank: int, frames: Frames, row: int, distance: float) -> ReidMatch:
    return ReidMatch(
        rank,
        frames.names[row],
        distance,
        _said(frames, row, "identity"),
        _said(frames, row, "camera"),
        _said(frames, row, "time"),
        _paths(frames, row),
    )


def _unused(band: str, used: Sequence[str]) -> str:
    return "" if band in used else " (not used)"


def _words(*parts: str | None) -> str:
    """What is known, in one line; of a time, minutes are enough."""
    return ", ".join(part[:16].replace("T", " ") if _is_moment(part) else part for part in parts if part)


def _is_moment(text: str) -> bool:
    return len(text) >= 16 and text[10] == "T" and text[4] == text[7] == "-"
