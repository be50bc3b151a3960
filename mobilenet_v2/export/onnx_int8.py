"""ONNX with 8-bit weights and activations, by ONNX Runtime's static quantisation (arXiv 1712.05877).

Weights have a scale for each output channel, without which MobileNets' depthwise layers lose their accuracy
(arXiv 1806.08342, §3.2). Activations have a scale and a zero point for each tensor, of the least and the greatest value
that it takes over the calibration pictures. Quantising and dequantising are operators of the graph (QDQ), which any
runtime of ONNX computes, and ONNX Runtime fuses into integer convolutions.
"""

import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from mobilenet_v2.export import onnx_file
from mobilenet_v2.export.inference import Inference, Run

_BATCH = 8  # pictures whose activations are held at once


def write(path: pathlib.Path, network: Inference, calibration: np.ndarray | None) -> None:
    """Writes the network.

    Args:
      calibration: normalised images float32 [N, H, W, C].
    """
    assert calibration is not None
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = (pathlib.Path(folder) / name for name in ("float.onnx", "prepared.onnx"))
        onnx_file.write(plain, network)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            _reader(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )


def load(path: pathlib.Path) -> Run:
    """As `onnx_file.load`."""
    return onnx_file.load(path)


def _reader(calibration: np.ndarray) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(calibration), _BATCH):
            yield {onnx_file.INPUT: calibration[start : start + _BATCH]}

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = batches()

        def get_next(self) -> Any:  # a batch, None at the end
            return next(self._batches, None)

    return Reader()
