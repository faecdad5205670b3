"""Write docs/cli.md from the command line itself: ``make docs``."""

from __future__ import annotations

from pathlib import Path

import click
import typer.main

from crossband.cli import app


def verbs(group: click.Group, prefix: str) -> list[tuple[str, click.Command]]:
    """Every verb with its full name, groups opened."""
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += verbs(command, f"{prefix} {name}")
        else:
            found.append((f"{prefix} {name}", command))
    return found


def page() -> str:
    """The reference of every verb, as Markdown."""
    lines = ["# Every verb", "", "Written by `make docs` from the command line itself."]
    for name, command in verbs(typer.main.get_command(app), "crossband"):
        lines += ["", f"## {name}", "", *(line.strip() for line in (command.help or "").splitlines())]
        lines += ["", "| argument | what | default |", "|---|---|---|"]
        for parameter in command.params:
            if parameter.name == "help":
                continue
            names = ", ".join(f"`{n}`" for n in (*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "argument":
                names = f"`{parameter.metavar or parameter.name.upper()}`"
            default = parameter.default if parameter.default not in (None, False, ()) else ""
            what = (getattr(parameter, "help", "") or "").replace("|", "\\|")
            lines.append(f"| {names} | {what} | {f'`{default}`' if default else ''} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    target = Path(__file__).with_name("cli.md")
    target.write_text(page(), encoding="utf-8")
    print(target)
