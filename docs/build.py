"""Write docs/cli.md from the command line itself, as typer documents it: ``make docs``."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from crossband.cli import app


def page() -> str:
    """The reference of every verb, as Markdown."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="crossband")
    text = get_docs_for_click(obj=command, ctx=context, name="crossband", title="Every verb")
    return text.strip() + "\n"


if __name__ == "__main__":
    target = Path(__file__).with_name("cli.md")
    target.write_text(page(), encoding="utf-8")
    print(target)
