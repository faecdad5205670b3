"""An ONNX file gives what the network gives, or is not kept."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch

from crossband.errors import CrossbandError
from crossband.export import export, onnx_session
from crossband.segmentation import load_segmenter

from .segmentation.test_predict import CLASSES, checkpoint_of

onnx = pytest.importorskip("onnx", reason="export is an extra: crossband[export]")
pytest.importorskip("onnxruntime", reason="export is an extra: crossband[export]")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mfnet", "rtfnet18", "pstnet", "hrnet18"])
def test_networks_are_exported_with_the_same_output(tmp_path, name):
    done = export(name, tmp_path / "a.onnx", size=(64, 96))
    assert done.input == [1, 4, 64, 96]
    assert done.largest_difference < 1e-4 * done.largest_output


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["rsf", "sum", "concat", "gma"])
def test_a_checkpoint_is_exported_with_all_that_a_reader_needs(tmp_path, fusion):
    path = checkpoint_of(tmp_path / "best.safetensors", fusion=fusion)
    done = export(path, tmp_path / "a.onnx")
    assert done.input == [1, 4, 48, 64]
    metadata = {e.key: e.value for e in onnx.load(done.path).metadata_props}
    said = json.loads(metadata["crossband"])
    assert said["classes"] == CLASSES
    assert said["bands"] == ["rgb", "tir"]
    assert said["preprocess"]["size"] == [48, 64]
    images = torch.rand(1, 4, 48, 64)
    [logits] = onnx_session(done.path).run(None, {"images": images.numpy()})
    with torch.inference_mode():
        assert np.allclose(load_segmenter(path).network(images).numpy(), logits, atol=1e-4)


@pytest.mark.slow
def test_a_file_that_gives_something_else_is_not_kept(tmp_path, monkeypatch):
    module = importlib.import_module("crossband.export")  # crossband.export is the function
    real = module.write_onnx

    def wrong(network, images, path, metadata=None):
        torch.manual_seed(1)
        for p in network.parameters():
            p.data += 0.1
        real(network, images, path, metadata)
        for p in network.parameters():
            p.data -= 0.1

    monkeypatch.setattr(module, "write_onnx", wrong)
    with pytest.raises(CrossbandError, match="differs"):
        export("mfnet", tmp_path / "a.onnx", size=(32, 32))
    assert list(tmp_path.iterdir()) == []
