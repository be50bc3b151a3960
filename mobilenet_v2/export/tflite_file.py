"""TensorFlow Lite (LiteRT), in float32 and in 8-bit integers throughout, one image at a time.

jax2tf hands the network to TensorFlow, whose converter writes the file. The integer file takes and gives int8: its
tensors carry scale and zero point, real = scale · (integer − zero point); weights have a scale for each output channel
(ai.google.dev/edge/litert, "8-bit quantization specification").
"""

import contextlib
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from mobilenet_v2.export.inference import Inference, Run


def write(path: pathlib.Path, network: Inference, calibration: np.ndarray | None = None) -> None:
    """Writes the network in float32; in integers where there is `calibration`, normalised images [N, H, W, C]."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    converter = _converter(tf, network)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _one_by_one(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with _silent():
        path.write_bytes(converter.convert())


def load(path: pathlib.Path) -> Run:
    """The file as LiteRT computes it on one core of the CPU."""
    from ai_edge_litert.interpreter import Interpreter

    with _silent():
        interpreter = Interpreter(model_path=os.fspath(path), num_threads=1)
        interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()

    def one(image_HxWxC: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], _quantised(image_HxWxC[None], given))
        interpreter.invoke()
        return _real(interpreter.get_tensor(wanted["index"]), wanted)[0]

    return lambda image_BxHxWxC: np.stack([one(image) for image in image_BxHxWxC])


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """What C++ writes of its progress is not for the command's reader; its errors come as Python's."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _converter(tf: Any, network: Inference) -> Any:
    from jax.experimental import jax2tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        converted = jax2tf.convert(network.logits, with_gradient=False)
    signature = [tf.TensorSpec((1, *network.image_shape), tf.float32, name="images")]
    module = tf.Module()
    module.logits = tf.function(converted, input_signature=signature, autograph=False)
    return tf.lite.TFLiteConverter.from_concrete_functions([module.logits.get_concrete_function()], module)


def _one_by_one(images_NxHxWxC: np.ndarray) -> Iterator[list[np.ndarray]]:
    for image in images_NxHxWxC:
        yield [image[None]]


def _quantised(real: np.ndarray, tensor: Any) -> np.ndarray:
    scale, zero_point = tensor["quantization"]
    if not scale:
        return real.astype(tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(real / scale) + zero_point, limits.min, limits.max).astype(tensor["dtype"])


def _real(values: np.ndarray, tensor: Any) -> np.ndarray:
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * scale if scale else values
