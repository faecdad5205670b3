"""What every result can do: become a dictionary, JSON, a table or a report, and show itself in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .errors import CrossbandError
from .files import make_folder, write_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Curve", "Result", "Rows", "save_figure"]

_SHOWN = 10  # rows of a table that a result shows of itself
_WIDE = 12  # columns of it


class Result:
    """The base of what functions find; a subclass says what it holds, as a dataclass with ``repr=False``.

    A subclass overrides :meth:`to_dict` where its fields are not plain values, and :meth:`to_pandas` where
    it is more than one row, and adds ``plot() -> Figure`` where there is something to see.

    Attributes:
        stem: of the files of a report; the class's name in small letters where it is empty.
    """

    stem: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, as JSON holds them."""
        if not is_dataclass(self):
            raise TypeError(f"{type(self).__name__} does not say how it becomes a dictionary")
        return _plain(asdict(self))

    def to_json(self, path: str | Path | None = None) -> str:
        """Return :meth:`to_dict` as JSON text, and write it to a file if one is given.

        Raises:
            CrossbandError: the file cannot be written.
        """
        text = json.dumps(self._content(), indent=1, default=_value)
        if path is not None:
            make_folder(Path(path).parent)
            write_file(path, text + "\n")
        return text

    def to_pandas(self) -> pd.DataFrame:
        """Return a table; one row of what is a single value, where a subclass does not say more."""
        import pandas as pd

        flat = {name: value for name, value in self.to_dict().items() if not isinstance(value, list | dict)}
        return pd.DataFrame([flat])

    def report(self, folder: str | Path) -> Path:
        """Write it into a folder as JSON, as CSV and, where it can be drawn, as PNG; gives the folder.

        Raises:
            CrossbandError: the folder cannot be written.
        """
        out, stem = make_folder(folder), self._stem()
        self.to_json(out / f"{stem}.json")
        write_file(out / f"{stem}.csv", lambda path: self.to_pandas().to_csv(path, index=False))
        if self._drawn():
            save_figure(self.plot(), out / f"{stem}.png")  # type: ignore[attr-defined]
        return out

    def _drawn(self) -> bool:
        return hasattr(self, "plot")

    def _stem(self) -> str:
        return self.stem or type(self).__name__.lower()

    def _content(self) -> Any:
        return self.to_dict()

    def _title(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        table = self.to_pandas()
        shown = table.to_string(max_rows=_SHOWN, max_cols=_WIDE, index=False, float_format="{:.4g}".format)
        return f"{self._title()}\n{shown}"

    def _repr_html_(self) -> str:
        table = self.to_pandas()
        shown = table.to_html(
            max_rows=_SHOWN, max_cols=_WIDE, index=False, float_format="{:.4g}".format, border=0
        )
        return f"<p><b>{self._title()}</b></p>{shown}"


@dataclass(frozen=True, repr=False)
class Curve(Result):
    """Measurements at several amounts of something.

    Attributes:
        points: a row for each; a subclass names the columns.
    """

    points: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"points": [...]}``, one mapping for each row."""
        return {"points": self.points.to_dict("records")}

    def to_pandas(self) -> pd.DataFrame:
        """Return the points."""
        return self.points


R = TypeVar("R", bound=Result)


class Rows(list[R], Result):
    """Results of one kind, a list of them: one row of the table each.

    They are drawn together by their class's ``draw(table)``, where it has one.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(repr=False)
        ... class Cost(Result):
        ...     model: str
        ...     seconds: float
        >>> Rows([Cost("hog", 0.25), Cost("crossband", 2)])
        2 x Cost
            model  seconds
              hog     0.25
        crossband        2
    """

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"rows": [...]}``, each a plain mapping; :meth:`to_json` writes the list alone."""
        return {"rows": self._content()}

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each."""
        import pandas as pd

        tables = [one.to_pandas() for one in self]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def plot(self) -> Figure:
        """Draw them together.

        Raises:
            CrossbandError: there are none, or results of this kind cannot be drawn.
        """
        draw = getattr(self[0], "draw", None) if self else None
        if draw is None:
            raise CrossbandError(f"there is nothing to draw: {self._title()}")
        return draw(self.to_pandas())

    def _drawn(self) -> bool:
        return bool(self) and hasattr(self[0], "draw")

    def _stem(self) -> str:
        return self[0]._stem() if self else "nothing"

    def _content(self) -> list[dict[str, Any]]:
        return [one.to_dict() for one in self]

    def _title(self) -> str:
        names = sorted({type(one).__name__ for one in self}) or ["nothing"]
        return f"{len(self)} x {', '.join(names)}"

    __repr__ = Result.__repr__


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as the picture that the path's suffix says.

    Raises:
        CrossbandError: it cannot be written.
    """
    make_folder(Path(path).parent)
    return write_file(path, lambda partial: figure.savefig(partial))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else _value(value)


def _value(value: Any) -> Any:
    """Arrays and tensors as lists, numbers of numpy as numbers, tables as records, the rest as text."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return _plain(value.to_dict("records"))
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(inner) for inner in value]
    return str(value)
