"""How the tables of messages are read: each module's wording stands once, in its ``test_messages.py``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crossband.errors import CrossbandError


def assert_says(
    call: Callable[[], object],
    words: str,
    error: type[CrossbandError] = CrossbandError,
    parameter: str | None = None,
) -> None:
    """Assert that ``call`` raises one sentence that has ``words``, in order; " ... " stands for anything.

    With ``parameter``, the error names that one, from which the command line makes its option.
    """
    with pytest.raises(error) as caught:
        call()
    said, start = str(caught.value), 0
    assert "\n" not in said
    for part in words.split(" ... "):
        found = said.find(part, start)
        assert found >= 0, f"{part!r} is not in {said!r}"
        start = found + len(part)
    if parameter is not None:
        assert caught.value.parameter == parameter
