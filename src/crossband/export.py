"""A network as an ONNX file, whose outputs are compared with the network's own before it counts as written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .bands import parse_band
from .errors import CrossbandError, MissingExtraError
from .files import check_output, write_file
from .nn.reparam import deploy
from .profile import check_size, network_of
from .results import Result

__all__ = ["Export", "export", "onnx_session", "write_onnx"]


@dataclass(frozen=True, repr=False)
class Export(Result):
    """What was written.

    Attributes:
        path: the ONNX file.
        input: the shape of its one input ``images``.
        largest_difference: of its output from the network's, on random images.
        largest_output: the largest absolute value of the network's output, to compare with.
        megabytes: of the file.
    """

    path: str
    input: list[int]
    largest_difference: float
    largest_output: float
    megabytes: float


def export(
    model: str | Path,
    out: str | Path,
    *,
    size: tuple[int, int] | None = None,
    bands: Iterable[str] = ("rgb", "tir"),
    classes: int = 9,
    options: Mapping[str, Any] | None = None,
    tolerance: float = 1e-3,
) -> Export:
    """Write the deployed form of a network as ONNX and compare the two.

    The file's metadata say the bands, classes and preprocessing of a checkpoint. Its input is one tensor
    ``images``, ``(1, C, H, W)``, standardized; its output ``logits``, or for an encoder its last map.

    Args:
        model: a segmentation network, an encoder, or a segmentation's checkpoint.
        out: the file, ``.onnx``.
        size: (height, width); the checkpoint's own, else 480 x 640.
        bands: of a segmentation network's input.
        classes: of a segmentation network.
        options: of a segmentation network.
        tolerance: the largest difference allowed, as a share of the largest output.

    Raises:
        CrossbandError: no ONNX packages, a size the network cannot read, a file that cannot be written, or
            outputs that differ by more.
    """
    path = Path(out)
    if path.suffix != ".onnx":
        raise CrossbandError(f"an export is a .onnx file, not {path.name}", parameter="out")
    check_output(path)
    _need_onnx()
    network, channels = network_of(model, tuple(map(parse_band, bands)), classes, options)
    metadata = _metadata(model)
    height, width = size or _size_of(metadata) or (480, 640)
    check_size(network, (1, channels, height, width))
    network = deploy(network, torch.rand(1, channels, 64, 64))
    images = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    write_file(path, lambda partial: write_onnx(network, images, partial, metadata))
    with torch.inference_mode():
        wanted = network(images).numpy()
    session = onnx_session(path)
    [got] = session.run(None, {"images": images.numpy()})
    off, most = float(np.abs(got - wanted).max()), float(np.abs(wanted).max())
    if not off <= tolerance * max(most, 1e-12):
        path.unlink()
        raise CrossbandError(
            f"the exported network's output differs by {off:.1e} of {most:.1e}; nothing was written"
        )
    return Export(str(path), list(images.shape), off, most, path.stat().st_size / 2**20)


def write_onnx(
    network: nn.Module, images: torch.Tensor, path: Path, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write a network in evaluation mode as one ONNX file for inputs of the shape of ``images``."""
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what the tracer holds constant, which is the image's size
        torch.onnx.export(
            network.eval(),
            (images,),
            str(path),
            input_names=["images"],
            output_names=["logits"],
            opset_version=18,
            dynamo=False,
            do_constant_folding=True,
        )
    if metadata:
        graph = onnx.load(str(path))
        entry = graph.metadata_props.add()
        entry.key, entry.value = "crossband", json.dumps(dict(metadata))
        onnx.save(graph, str(path))
    return path


def onnx_session(path: str | Path, threads: int | None = None) -> Any:
    """Return an ONNX Runtime session on the CPU, with as many threads as torch uses unless told otherwise."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _metadata(model: str | Path) -> dict[str, Any]:
    if not str(model).endswith(".safetensors"):
        return {}
    from .checkpoints import read_metadata

    known = read_metadata(model)
    return {key: known[key] for key in ("classes", "bands", "preprocess", "crossband") if key in known}


def _size_of(metadata: Mapping[str, Any]) -> tuple[int, int] | None:
    size = metadata.get("preprocess", {}).get("size")
    return (int(size[0]), int(size[1])) if size else None


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"export needs {error.name}; pip install 'crossband[export]'") from None
