"""The command line: each verb is a thin call of the public function with the same name.

Results go to standard output, progress and remarks to standard error. The exit status is 0, or 2 with one
sentence that says what is wrong and how to fix it. A verb is in the module of its kind, which registers it.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from ..allocator import keep_freed_memory
from ..errors import CrossbandError

# verbs register themselves, in the order of the help
# isort: off
from . import demo, data, retrieval, gallery, training, reid, segmentation, uav, list  # noqa: F401
from ._app import app
# isort: on

__all__ = ["app", "main"]

_LONGEST_NAME = 200


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit status 2."""
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(prog_name="crossband", standalone_mode=False)
        if status == 130:  # how typer passes on Ctrl-C
            print("crossband: interrupted; run the same command to resume", file=sys.stderr)
        sys.exit(status)
    except CrossbandError as error:
        print(f"crossband: {error}", file=sys.stderr)
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


def _refuse(error: Any) -> None:
    """One sentence for an option or a verb that is wrong; nothing more where typer has shown the help."""
    message = " ".join(error.format_message().split()).rstrip(".?")
    context = getattr(error, "ctx", None)
    if message:
        where = context.command_path if context is not None else "crossband"
        print(f"crossband: {message}; {where} --help lists the options", file=sys.stderr)
    sys.exit(2)
