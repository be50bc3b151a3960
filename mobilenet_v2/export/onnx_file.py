"""ONNX: an operator a layer, any batch size, for ONNX Runtime and whatever else reads it.

jax2onnx makes the graph. It leaves behind what other runtimes neither fuse nor quantise: relu6 as a maximum and a
minimum, and copies; `tidied` writes them as the one operator that they are.
"""

import contextlib
import io
import logging
import os
import pathlib
import warnings
from typing import Any

import numpy as np

from mobilenet_v2.export.inference import Inference, Run

INPUT, OUTPUT = "images", "logits"
# Of 2023: operators of 8-bit weights by channel are older, those that later ones brought are not needed.
_OPSET = 21
_COPIES = ("Identity", "Dropout")  # dropout does nothing in inference


def write(path: pathlib.Path, network: Inference, calibration: np.ndarray | None = None) -> None:
    """Writes the network; `calibration` is for others."""
    del calibration
    import onnx

    model = tidied(convert(network))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def convert(network: Inference) -> Any:
    """What jax2onnx makes of the network, an `onnx.ModelProto`."""
    # It prints and warns of parts of its own that nothing here needs.
    logging.getLogger("jax2onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jax2onnx import to_onnx

        return to_onnx(
            network.logits,
            [("batch", *network.image_shape)],
            model_name="mobilenet",
            opset=_OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
        )


def load(path: pathlib.Path) -> Run:
    """The file as ONNX Runtime computes it on one core of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    return lambda image_BxHxWxC: np.asarray(session.run([OUTPUT], {INPUT: image_BxHxWxC})[0])


def tidied(model: Any) -> Any:
    """The same function without copies, whose max(x, 0) and min(max(x, 0), 6) are Relu and Clip."""
    graph = model.graph
    _remove_copies(graph)
    constants = _scalars(graph)
    makers = {node.output[0]: node for node in graph.node}
    readers = [name for node in graph.node for name in node.input]
    for node in [node for node in graph.node if node.op_type == "Min"]:
        above = makers.get(_kept(node, constants))
        if above is not None and above.op_type == "Max" and readers.count(above.output[0]) == 1:
            _turn_into(node, "Clip", [_kept(above, constants), _other(above, constants), _other(node, constants)])
            graph.node.remove(above)
    for node in graph.node:
        if node.op_type == "Max" and constants.get(_other(node, constants)) == 0:
            _turn_into(node, "Relu", [_kept(node, constants)])
    _remove_unread(graph)
    return model


def _remove_copies(graph: Any) -> None:
    outputs = {output.name for output in graph.output}
    for node in [node for node in graph.node if node.op_type in _COPIES]:
        if node.output[0] in outputs:
            continue
        for reader in graph.node:
            reader.input[:] = [node.input[0] if name == node.output[0] else name for name in reader.input]
        graph.node.remove(node)


def _scalars(graph: Any) -> dict[str, float]:
    """Constants of one value, by name."""
    from onnx import numpy_helper

    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {name: float(array) for name, array in arrays.items() if array.shape == ()}


def _other(node: Any, constants: dict[str, float]) -> str:
    """The input that is a constant, or nothing."""
    return next((name for name in node.input if name in constants), "")


def _kept(node: Any, constants: dict[str, float]) -> str:
    """The input that is none, or nothing."""
    return next((name for name in node.input if name not in constants), "")


def _turn_into(node: Any, op_type: str, inputs: list[str]) -> None:
    node.op_type = op_type
    node.input[:] = inputs


def _remove_unread(graph: Any) -> None:
    """Constants, and shapes of values, that nothing reads any more."""
    used = {name for node in graph.node for name in (*node.input, *node.output)}
    for values in (graph.initializer, graph.value_info):
        for value in [value for value in values if value.name not in used]:
            values.remove(value)
