"""Tables for people and JSON for programs, on standard output."""

from __future__ import annotations

import json
import sys
from typing import Any


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=str))


def shortened(value: Any, where: str) -> Any:
    """Replace long lists that are also written to a file by a remark."""
    if isinstance(value, dict):
        return {key: shortened(inner, where) for key, inner in value.items()}
    if isinstance(value, list) and len(value) > 60 and not isinstance(value[0], dict | list):
        return f"{len(value)} values, {where}"
    return [shortened(inner, where) for inner in value] if isinstance(value, list) else value


def print_table(table: Any, width: int = 200) -> None:
    """Print a table to standard output, never truncated: a cell that is too long is folded.

    Args:
        table: to print.
        width: characters of a line where it is no terminal that is written to.
    """
    import pandas as pd
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else width, highlight=False)
    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    kept = [column for column in table.columns if table[column].notna().any()]
    for column in kept:
        numeric = pd.api.types.is_numeric_dtype(table[column])
        grid.add_column(
            Text(str(column)), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold"
        )
    for row in table[kept].itertuples(index=False):
        grid.add_row(*(Text("" if pd.isna(v) else _cell(c, v)) for c, v in zip(kept, row, strict=True)))
    console.print(grid)


def _cell(column: str, value: object) -> str:
    """A number with the decimals that its column asks for: a tenth of a meter needs six of a degree."""
    decimals = {"lat": 6, "lon": 6, "distance": 3, "CKA": 3, "amount": 2, "score": 2}.get(column, 1)
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)
