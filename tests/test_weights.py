"""Weights: looked for in the stated order, never unpickled, and one sentence when they are nowhere."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from crossband.errors import CrossbandError
from crossband.weights import WeightsSource, file_digest, find_weights, load_state_dict

URL = "https://weights.invalid/models/net-0123abcd.pth"
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture(autouse=True)
def nothing_around(tmp_path, monkeypatch):
    """No folder of weights, no cache, no proxy, and a network that is never touched."""
    for name in ("CROSSBAND_WEIGHTS", "CROSSBAND_OFFLINE", *PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", forbid)


def refuse(*_: object, **__: object) -> None:
    raise OSError("no route to host")


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("a test must not download")


def put(path: Path, value: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"w": torch.full((2,), value)}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def test_the_order_is_given_folder_variable_package_cache(tmp_path, monkeypatch):
    packaged = put(tmp_path / "package" / "inside.pth")
    source = WeightsSource("net", url=URL, package=lambda: packaged)
    cached = put(tmp_path / "hub" / "checkpoints" / "net-0123abcd.pth")
    assert find_weights(WeightsSource("net", url=URL)) == cached
    assert find_weights(source) == packaged
    monkeypatch.setenv("CROSSBAND_WEIGHTS", str(tmp_path / "variable"))
    assert find_weights(source) == packaged  # the folder does not have them
    variable = put(tmp_path / "variable" / "net.safetensors")
    assert find_weights(source) == variable
    assert find_weights(source, tmp_path / "package") == variable  # nor does the folder given
    given = put(tmp_path / "given" / "net.pth")
    assert find_weights(source, given.parent) == given
    file = put(tmp_path / "any_name.pt")
    assert find_weights(source, file) == file


def test_in_a_folder_safetensors_win_and_the_publisher_s_own_name_is_known(tmp_path):
    source = WeightsSource("net", url=URL)
    published = put(tmp_path / "w" / "net-0123abcd.pth")
    assert find_weights(source, tmp_path / "w") == published
    plain = put(tmp_path / "w" / "net.pth")
    assert find_weights(source, tmp_path / "w") == plain
    safe = put(tmp_path / "w" / "net.safetensors")
    assert find_weights(source, tmp_path / "w") == safe


def test_weights_given_that_are_not_there_are_not_passed_over(tmp_path):
    put(tmp_path / "hub" / "checkpoints" / "net-0123abcd.pth")
    with pytest.raises(CrossbandError, match="nowhere"):
        find_weights(WeightsSource("net", url=URL), tmp_path / "nowhere")


def test_nothing_found_is_one_sentence_with_the_file_the_places_and_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSBAND_WEIGHTS", "elsewhere")
    with pytest.raises(CrossbandError) as caught:
        find_weights(WeightsSource("net", url=URL), tmp_path)
    text = str(caught.value)
    for part in ("net.safetensors", "net-0123abcd.pth", str(tmp_path), "elsewhere", "caches", "weights"):
        assert part in text
    assert "\n" not in text


def test_without_a_network_the_sentence_comes_at_once(monkeypatch):
    start = time.perf_counter()
    with pytest.raises(CrossbandError, match="net"):
        find_weights(WeightsSource("net", url=URL))
    with pytest.raises(CrossbandError, match="net"):
        find_weights(WeightsSource("net", hub=("nobody/nothing", "model.safetensors")))
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("way", ["variable", "argument"])
def test_downloads_can_be_turned_off(monkeypatch, way):
    monkeypatch.setattr(socket, "create_connection", forbid)
    if way == "variable":
        monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    with pytest.raises(CrossbandError, match="net"):
        find_weights(WeightsSource("net", url=URL), download=way == "variable")


def test_a_download_goes_to_the_cache_and_is_checked_against_the_digest_in_its_name(tmp_path, monkeypatch):
    asked = []

    def download(url: str, target: str, hash_prefix: str) -> None:
        asked.append((url, hash_prefix))
        put(Path(target))

    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    path = find_weights(WeightsSource("net", url=URL))
    assert path == tmp_path / "hub" / "checkpoints" / "net-0123abcd.pth"
    assert asked == [(URL, "0123abcd")]
    assert find_weights(WeightsSource("net", url=URL)) == path
    assert len(asked) == 1


def test_a_download_that_fails_says_why(monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("invalid hash value\n(expected 0123abcd)")

    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
    monkeypatch.setattr(torch.hub, "download_url_to_file", broken)
    with pytest.raises(CrossbandError, match=r"invalid hash value"):
        find_weights(WeightsSource("net", url=URL))


def test_the_time_out_of_sockets_is_left_as_it_was():
    before = socket.getdefaulttimeout()
    with pytest.raises(CrossbandError):
        find_weights(WeightsSource("net", url=URL))
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt"])
def test_tensors_come_back_as_they_were_saved(tmp_path, name):
    state = load_state_dict(put(tmp_path / name, 3.0))
    assert state["w"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_checkpoint_s_state_dict_is_taken_out_of_its_wrapping(tmp_path, key):
    torch.save({key: {"w": torch.ones(1)}, "epoch": 3}, tmp_path / "c.pth")
    assert list(load_state_dict(tmp_path / "c.pth")) == ["w"]


class Evil:
    """An object whose unpickling would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickled_object_is_refused_and_not_run(tmp_path, how):
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    if how == "torch":
        torch.save({"w": Evil(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"w": Evil(trace)}))
    with pytest.raises(CrossbandError, match=r"evil\.pth"):
        load_state_dict(path)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello world", b"\0" * 64, b"PK\x03\x04" + b"\0" * 64, b"{}" * 40])
def test_a_damaged_file_is_one_sentence(tmp_path, suffix, content):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(CrossbandError) as caught:
        load_state_dict(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_one_sentence(tmp_path, suffix):
    path = put(tmp_path / f"cut{suffix}")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CrossbandError, match="cut"):
        load_state_dict(path)


def test_the_digest_is_sha_256_of_the_file(tmp_path):
    path = put(tmp_path / "w.pth")
    assert file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_publisher_s_name_of_a_file():
    assert WeightsSource("net", url=URL).file_name == "net-0123abcd.pth"
    assert WeightsSource("net", hub=("a/b", "m.safetensors")).file_name == "a/b/m.safetensors"
    assert WeightsSource("net").file_name == "net.safetensors"
