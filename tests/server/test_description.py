"""Requests made from the API's own description: whatever they hold, the server makes no mistake."""

from __future__ import annotations

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis: pip install schemathesis")

from hypothesis import HealthCheck, settings  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def described(client):
    return schemathesis.openapi.from_asgi("/openapi.json", client.app, headers={"host": "localhost"})


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
def test_no_request_makes_the_server_fail(case, client):
    if case.path.endswith("/events"):  # a stream ends with its job alone
        return
    case.headers = {**(case.headers or {}), "host": "localhost"}
    answer = case.call()
    assert answer.status_code < 500, (case.method, case.path, answer.status_code, answer.text[:300])
