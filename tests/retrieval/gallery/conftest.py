"""Real servers of this machine: an S3 server from moto's wheel, Milvus from its own."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """``s3://bucket`` on a server of this process, for this process and its children."""
    moto = pytest.importorskip(
        "moto.server", reason="a real S3 server comes with moto[s3], flask and flask-cors"
    )
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            patch.setenv(name, value)
        urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT")).close()
        yield "s3://bucket"
    server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """The beginning of addresses on a Milvus server of its own on this machine."""
    milvus = pytest.importorskip("milvus", reason="a real server comes with the package milvus")
    pytest.importorskip("pymilvus", reason="its client is pymilvus")
    found = milvus.MilvusServer()
    found.set_base_dir(str(tmp_path_factory.mktemp("milvus")))
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        found.listen_port = some.getsockname()[1]
    try:
        found.start()
    except Exception as error:  # whatever this machine cannot do
        pytest.skip(f"the Milvus server does not start here: {error}")
    yield f"milvus://127.0.0.1:{found.listen_port}"
    with suppress(Exception):
        found.stop()
