import pytest
import torch

from crossband import devices
from crossband.devices import choose_device, choose_dtype, quick_arithmetic
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


@pytest.mark.parametrize(("said", "hardware", "narrow"), [
    (None, True, True), (None, False, False), ("plain", True, False), ("float32", True, False),
    ("bfloat16", False, True),
])  # fmt: skip
def test_networks_compute_in_bfloat16_where_the_processor_does_or_the_user_says_so(
    said, hardware, narrow, monkeypatch
):
    monkeypatch.setattr(devices, "_multiplies_bfloat16", lambda: hardware)
    monkeypatch.delenv("CROSSBAND_PACE", raising=False)
    if said:
        monkeypatch.setenv("CROSSBAND_PACE", said)
    with torch.inference_mode(), quick_arithmetic(torch.device("cpu")):
        made = torch.nn.Conv2d(3, 4, 3)(torch.rand(1, 3, 8, 8))
    assert made.dtype is (torch.bfloat16 if narrow else torch.float32)


def test_a_pace_that_does_not_exist_is_refused(monkeypatch):
    monkeypatch.setenv("CROSSBAND_PACE", "swift")
    with pytest.raises(CrossbandError, match="CROSSBAND_PACE is one of plain, float32, bfloat16"):
        quick_arithmetic(torch.device("cpu"))


def test_boxes_of_a_yolo_are_decoded_in_float32_whatever_it_computes_in(monkeypatch):
    from crossband.models.yolo_semantic import YoloSemantic

    monkeypatch.setenv("CROSSBAND_PACE", "bfloat16")
    network = YoloSemantic(2, 0, [[[8.0, 8.0]], [[16.0, 16.0]], [[32.0, 32.0]]], width=2).eval()
    with torch.inference_mode(), quick_arithmetic(torch.device("cpu")):
        assert {one.dtype for one in network(torch.rand(1, 1, 64, 64))} == {torch.float32}
