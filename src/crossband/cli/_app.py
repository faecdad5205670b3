"""The program and its two groups of verbs; each verb registers itself in a module of its own kind."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="crossband",
    help="Find the same place, scene or object across visible, near-infrared and thermal images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

data_app = typer.Typer(help="Make and check manifests.", no_args_is_help=True)

gallery_app = typer.Typer(help="Look after a gallery.", no_args_is_help=True)

app.add_typer(data_app, name="data")

app.add_typer(gallery_app, name="gallery")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        from .. import __version__

        print(__version__)
        raise typer.Exit
