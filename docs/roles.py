"""Docstrings as Markdown: Sphinx's roles become links, its simple tables become Markdown's."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:py:)?(?:class|func|meth|mod|attr|data):`([^`]+)`")
_RULE = re.compile(r"^\s*=+(?:\s+=+)+\s*$")


def _linked(match: re.Match[str]) -> str:
    """A reference as a link where the name is whole and on the site, as code where not."""
    target = match[1].lstrip("~.")
    shown = target.rsplit(".", 1)[-1] if match[1].startswith("~") else target
    if not target.startswith("crossband."):
        return f"`{shown}`"
    return f'<autoref identifier="{target}" optional><code>{shown}</code></autoref>'


def _columns(rule: str) -> list[slice]:
    spans = [match.start() for match in re.finditer("=+", rule)]
    return [slice(start, end) for start, end in zip(spans, [*spans[1:], None], strict=True)]


def _table(rows: list[str], columns: list[slice]) -> list[str]:
    """The rows between the rules of a simple table; a row without its first cell continues the one above."""
    cells: list[list[str]] = []
    for row in rows:
        parts = [row[column].strip().replace("|", "\\|") for column in columns]
        if cells and not parts[0]:
            cells[-1] = [f"{old} {new}".strip() for old, new in zip(cells[-1], parts, strict=True)]
        else:
            cells.append(parts)
    return ["| " + " | ".join(parts) + " |" for parts in cells]


def with_tables(text: str) -> str:
    """Replace the simple tables of a docstring, with or without a head."""
    out: list[str] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        if not _RULE.match(lines[at]):
            out.append(lines[at])
            at += 1
            continue
        columns = _columns(lines[at])
        end = next((i for i in range(at, len(lines)) if not lines[i].strip()), len(lines))
        rules = [i for i in range(at, end) if _RULE.match(lines[i])]
        if len(rules) < 2:
            raise ValueError(f"a table without an end: {lines[at]}")
        head = (
            _table(lines[rules[0] + 1 : rules[1]], columns) if len(rules) > 2 else ["|" + " |" * len(columns)]
        )
        body = _table(lines[rules[-2] + 1 : rules[-1]], columns)
        out += ["", *head, "|" + "---|" * len(columns), *body, ""]
        at = rules[-1] + 1
    return "\n".join(out)


class Roles(griffe.Extension):
    """Rewrites every docstring once it was read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = with_tables(_ROLE.sub(_linked, obj.docstring.value))
