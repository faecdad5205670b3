import pytest
import torch

from crossband.devices import choose_device, choose_dtype
from crossband.errors import CrossbandError, UnknownNameError
from crossband.profile import profile

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")),
]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["mfnet", "squeezenet1_1"])
def test_both_forms_are_timed_in_every_dtype_on_every_device(name, dtype, device):
    found = profile(name, size=(64, 64), rounds=1, warmup=0, device=device, dtype=dtype)
    assert [one.form for one in found] == ["training", "deployed"]
    assert all(one.dtype == dtype and one.fps > 0 for one in found)


def test_auto_is_what_is_there():
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", ""])
def test_an_unknown_device_is_named_with_those_there_are(name):
    with pytest.raises(UnknownNameError, match="cuda"):
        choose_device(name)


def test_without_cuda_every_function_says_the_same(monkeypatch):
    from crossband.retrieval import Descriptor, Options

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = set()
    for ask in (
        lambda: choose_device("cuda"),
        lambda: choose_device("cuda:1"),
        lambda: profile("mfnet", rounds=0, device="cuda"),
        lambda: Descriptor.load("hog", Options(device="cuda")),
    ):
        with pytest.raises(CrossbandError) as caught:
            ask()
        assert caught.value.parameter == "device"
        said.add(str(caught.value))
    assert said == {"CUDA is not available; use device 'cpu'"}


def test_an_unknown_dtype_is_named():
    with pytest.raises(UnknownNameError, match="bfloat16"):
        choose_dtype("bf16")
