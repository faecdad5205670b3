from __future__ import annotations

import pytest

from crossband.errors import CrossbandError
from crossband.nn.encoder import count_parameters
from crossband.profile import network_of, profile


@pytest.mark.slow
def test_both_forms_are_counted_and_timed():
    options = {"first": "resnet18", "second": "resnet18", "widths": [16, 16, 16, 16], "reduced": 8}
    trained, deployed = profile("rsfnet", size=(64, 96), options=options, rounds=3, warmup=1, device="cpu")
    assert (trained.form, deployed.form) == ("training", "deployed")
    assert trained.input == [1, 4, 64, 96]
    assert deployed.params_m < trained.params_m
    assert deployed.macs_g < trained.macs_g
    assert deployed.thop_g < trained.thop_g  # no BatchNorm is left
    for one in (trained, deployed):
        assert one.latency_ms is not None
        assert 0 < one.latency_ms["p50"] <= one.latency_ms["p95"]
        assert one.fps == pytest.approx(1000 / one.latency_ms["p50"])
        assert set(one.to_dict()) == {
            "model",
            "input",
            "params_m",
            "macs_g",
            "flops_g",
            "thop_g",
            "latency_ms",
            "fps",
            "peak_memory_mb",
            "form",
            "device",
            "dtype",
            "threads",
        }


def test_an_encoder_is_profiled_as_it_is_listed():
    [one] = profile("squeezenet1_1", size=(64, 64), forms=["deployed"], rounds=0, device="cpu")
    assert one.input == [1, 3, 64, 64]
    assert one.params_m == pytest.approx(count_parameters(network_of("squeezenet1_1")[0]) / 1e6)
    assert one.latency_ms is None


@pytest.mark.parametrize("size", [(0, 0), (8, 8), (480, 10**5), (-1, 64)])
def test_a_size_that_the_network_cannot_read_is_named_before_memory_is_taken(size, tmp_path):
    from crossband.export import export

    with pytest.raises(CrossbandError, match="size") as profiled:
        profile("mfnet", size=size, rounds=0)
    with pytest.raises(CrossbandError, match="size") as exported:
        export("mfnet", tmp_path / "new" / "a.onnx", size=size)
    assert profiled.value.parameter == exported.value.parameter == "size"
    assert not (tmp_path / "new" / "a.onnx").exists()
