"""The command line: each verb is a thin call of the public function with the same name.

Results go to standard output, progress and remarks to standard error. The exit status is 0, or 2 with one
sentence that says what is wrong and how to fix it. A verb is in the module of its kind, which registers it.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import typer

from ..allocator import keep_freed_memory
from ..errors import CrossbandError
from ..progress import says_once

# verbs register themselves, in the order of the help
# isort: off
from . import demo, data, retrieval, gallery, matching, training, reid, segmentation, uav, serve, list  # noqa: F401
from ._app import app
# isort: on

__all__ = ["app", "main"]

_LONGEST_NAME = 200
_CALLED = {"normalization": "normalize", "checkpoints": "checkpoint", "suffixes": "rgb_suffix"}  # in verbs


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit status 2."""
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        status = says_once(app)(prog_name="crossband", standalone_mode=False)
        if status == 130:  # how typer passes on Ctrl-C
            print("crossband: interrupted; run the same command to resume", file=sys.stderr)
        sys.exit(status)
    except CrossbandError as error:
        option = _option(error.parameter)
        print(f"crossband: {error}{f' ({option})' if option else ''}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
        print(f"crossband: {shown}: {error.strerror}; fix that, or name another file", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer's own refusals have, whatever its version
            raise
        _refuse(error)


def _option(parameter: str) -> str:
    """The option of the verb at work that gives a parameter of the library, or ``""``.

    Messages of the library name no option: what of the command line fixes an error is known here alone.
    """
    command: Any = typer.main.get_command(app)
    for word in sys.argv[1:]:
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
    name = _CALLED.get(parameter, parameter)
    for known in command.params if name else ():
        if known.name.rstrip("_") == name and known.param_type_name == "option":
            return max(known.opts, key=len)
    return ""


def _refuse(error: Any) -> None:
    """One sentence for an option or a verb that is wrong; nothing more where typer has shown the help."""
    message = " ".join(error.format_message().split()).rstrip(".?")
    context = getattr(error, "ctx", None)
    if message:
        where = context.command_path if context is not None else "crossband"
        print(f"crossband: {message}; {where} --help lists the options", file=sys.stderr)
    sys.exit(2)
