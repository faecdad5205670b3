"""A Milvus server: its address, its client, and a gallery's small files, which it keeps beside the rows."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ...errors import CrossbandError, MissingExtraError

__all__ = ["MilvusFiles", "Server", "milvus_address"]

_ADDRESS = re.compile(
    r"milvus://(?P<host>[A-Za-z0-9_.\-]+):(?P<port>\d{1,5})/(?P<name>[A-Za-z_][A-Za-z0-9_]{0,200})"
)
_PIECE = 45_000  # bytes of a file in one row, before base64


def milvus_address(address: str) -> tuple[str, str]:
    """Take an address apart: the server's own address, and the collection's name.

    Args:
        address: ``milvus://HOST:PORT/NAME``; a token goes into the environment variable ``MILVUS_TOKEN``.

    Raises:
        CrossbandError: of another form.

    Example:
        >>> milvus_address("milvus://localhost:19530/flights")
        ('http://localhost:19530', 'flights')
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise CrossbandError(
            f"{address} is no address of a gallery; write milvus://HOST:PORT/NAME", parameter="gallery"
        )
    return f"http://{found['host']}:{found['port']}", found["name"]


class Server:
    """The client of a server, for one gallery.

    Args:
        address: ``milvus://HOST:PORT/NAME``.

    Raises:
        CrossbandError: no server there.
        MissingExtraError: pymilvus is not installed.
    """

    def __init__(self, address: str) -> None:
        try:
            import pymilvus
        except ImportError:
            raise MissingExtraError(
                "a gallery on Milvus needs pymilvus; install crossband[milvus]", parameter="gallery"
            ) from None
        server, self.name = milvus_address(address)
        self.pymilvus, self.address = pymilvus, address
        token = os.environ.get("MILVUS_TOKEN", "")
        self.client: Any = self.do(lambda: pymilvus.MilvusClient(server, token=token, timeout=20))

    def do(self, work: Callable[[], Any]) -> Any:
        """Do something on the server; what it raises becomes one sentence."""
        try:
            return work()
        except (self.pymilvus.MilvusException, ValueError, TypeError, OSError) as error:
            reason = " ".join(str(getattr(error, "message", error)).split())[:140]
            raise CrossbandError(f"Milvus at {self.address} failed: {reason}", parameter="gallery") from None

    def make_collection(self, name: str, fields: list[tuple[str, Any, dict[str, Any]]]) -> None:
        """Create a collection, its exact index, and load it; one that is there stays."""
        if self.do(lambda: self.client.has_collection(name)):
            return
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field, kind, more in fields:
            schema.add_field(field, kind, **more)
        self.do(lambda: self.client.create_collection(name, schema=schema, consistency_level="Strong"))
        exact = self.client.prepare_index_params()
        exact.add_index(field_name="vector", index_name="vector", index_type="FLAT", metric_type="L2")
        self.do(lambda: self.client.create_index(name, exact))
        self.do(lambda: self.client.load_collection(name))


class MilvusFiles:
    """Files in a collection of their own, ``NAME_files``, cut into pieces that a text field holds.

    Args:
        address: ``milvus://HOST:PORT/NAME``.
        server: its client, where there is one already.

    Raises:
        CrossbandError: as :class:`Server`.
    """

    def __init__(self, address: str, server: Server | None = None) -> None:
        self._server = server or Server(address)
        self._client, self._do = self._server.client, self._server.do
        self._name = f"{self._server.name}_files"

    def read_file(self, name: str) -> bytes | None:
        """Return the bytes of a file, ``None`` where there is none of that name."""
        if not self._do(lambda: self._client.has_collection(self._name)):
            return None
        rows = self._do(
            lambda: self._client.query(
                self._name, filter=f"file == {json.dumps(name)}", output_fields=["number", "pieces", "text"]
            )
        )
        pieces = {row["number"]: row for row in rows}
        if not pieces or len(pieces) < pieces[min(pieces)]["pieces"]:
            return None
        return b"".join(base64.b64decode(pieces[number]["text"]) for number in range(pieces[0]["pieces"]))

    def write_file(self, name: str, data: bytes) -> None:
        """Keep the bytes of a file; the first piece, which says how many there are, is written last."""
        self._make()
        pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)] or [b""]
        rows = [
            {
                "key": f"{name}/{number:06d}",
                "file": name,
                "number": number,
                "pieces": len(pieces),
                "text": base64.b64encode(piece).decode(),
                "vector": [0.0, 0.0],
            }
            for number, piece in enumerate(pieces)
        ]
        for row in rows[::-1]:
            self._do(partial(self._client.upsert, self._name, [row]))
        self._do(
            lambda: self._client.delete(
                self._name, filter=f"file == {json.dumps(name)} and number >= {len(pieces)}"
            )
        )

    def claim(self, files: Mapping[str, bytes]) -> bool:
        """Write files unless the last of them is there; whether they were written.

        The engine has no write that fails where something is there: two machines that claim within the same
        moment both succeed.
        """
        if self.read_file(list(files)[-1]) is not None:
            return False
        for name, data in files.items():
            self.write_file(name, data)
        return True

    def _make(self) -> None:
        kinds = self._server.pymilvus.DataType
        texts = [("key", {"is_primary": True}), ("file", {}), ("text", {})]
        fields = [(name, kinds.VARCHAR, {"max_length": 65_535, **more}) for name, more in texts]
        numbers: list[tuple[str, Any, dict[str, Any]]] = [
            (name, kinds.INT64, {}) for name in ("number", "pieces")
        ]
        self._server.make_collection(
            self._name, [*fields, *numbers, ("vector", kinds.FLOAT_VECTOR, {"dim": 2})]
        )
