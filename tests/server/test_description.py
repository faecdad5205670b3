"""Requests made from the API's own description: whatever they hold, the server makes no mistake."""

from __future__ import annotations

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis: pip install schemathesis")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402

from crossband.server import Settings  # noqa: E402
from crossband.server.app import create_app  # noqa: E402

EXAMPLES = 15


@pytest.mark.slow
def test_no_request_makes_the_server_fail(gallery):
    # of its own: whoever speaks to it starts and ends it
    app = create_app(Settings(galleries={"city": gallery}, log=False, decoders=1, requests=0, searches=0))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "localhost"})
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/events"):  # a stream, which ends with its job alone
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case):
            nonlocal asked
            asked += 1
            answer = case.call(headers={**(case.headers or {}), "host": "localhost"})
            assert answer.status_code < 500, (case.method, case.path, answer.status_code, answer.text[:300])

        ask()
    assert asked > 100
