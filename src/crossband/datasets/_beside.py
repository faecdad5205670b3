"""What readers share that add to paired frames: files beside the images, and the splits of numbered trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import CrossbandError
from ..frames import Frames
from ..io.composite import files_of

__all__ = ["lines_of", "with_beside", "with_trials"]


def with_beside(frames: Frames, **candidates: Callable[[str], str | Iterable[str]]) -> Frames:
    """Return frames with columns of paths: for each frame the first of its candidates that is there.

    A column of which no frame has a file is left away.

    Args:
        frames: the frames.
        candidates: column -> from a frame's name to a path below the root, or several.

    Example:
        >>> frames = Frames.make([{"frame": "a", "rgb": "a.png"}], root="gone")
        >>> "labels" in with_beside(frames, labels="labels/{}.png".format).table
        False
    """
    columns = {}
    for column, places in candidates.items():
        found = [_first(frames.root, places(name)) for name in frames.names]
        if any(found):
            columns[column] = found
    return frames.assign(**columns)


def _first(root: Path, places: str | Iterable[str]) -> str | None:
    for place in [places] if isinstance(places, str) else places:
        if files_of(root / place)[0].is_file():
            return place
    return None


def with_trials(frames: Frames, trials: Sequence[Mapping[str, str]]) -> Frames:
    """Return frames with the split of each of several trials or folds.

    ``split_1`` and on, and ``split``, which is that of the first.

    Args:
        frames: the frames.
        trials: frame -> split, of each trial; frames that a trial does not name have none in it.

    Example:
        >>> frames = Frames.make([{"frame": "a", "rgb": "a.png"}, {"frame": "b", "rgb": "b.png"}], root=".")
        >>> with_trials(frames, [{"a": "train"}, {"b": "train"}]).table["split_2"].tolist()
        [<NA>, 'train']
    """
    if not trials:
        return frames
    columns = {
        f"split_{number}": [trial.get(name) for name in frames.names] for number, trial in enumerate(trials, 1)
    }
    told = frames.assign(split=columns["split_1"], **columns)
    text = {name: told.table[name].astype("string") for name in columns}
    return told.assign(**text)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a list that are not empty; none where there is no such file.

    Raises:
        CrossbandError: it cannot be read.
    """
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CrossbandError(f"{path} cannot be read ({error.strerror})") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
