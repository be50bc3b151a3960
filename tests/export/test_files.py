"""Each format's file against the network that it was made of."""

import importlib
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mobilenet_v2.export import inference, stablehlo
from mobilenet_v2.export.inference import Run
from mobilenet_v2.models import activations
from mobilenet_v2.models.mobilenet_v1 import MobileNetV1
from tests.export import networks
from tests.models import random_networks

# Of the largest logit.
CLOSE = 1e-4
LAYERS = 1 + 2 + 3 + 3 + 3 + 1  # the stem, the blocks', the head


def written(name: str, model: Any, variables: Any, path: pathlib.Path, calibration: np.ndarray | None = None) -> Run:
    code = importlib.import_module(f"mobilenet_v2.export.{name}")
    code.write(path, inference.for_inference(model, variables, networks.SIDE, 3), calibration)
    return code.load(path)


def assert_same(run: Run, model: Any, variables: Any, within: float = CLOSE) -> None:
    images = networks.images(7)
    expected = np.asarray(model.apply(variables, images, train=False))
    for batch in (7, 1):  # the batch size is no part of the file
        assert np.abs(run(images[:batch]) - expected[:batch]).max() <= within * np.abs(expected).max()


def test_stablehlo_holds_the_network(tmp_path: pathlib.Path) -> None:
    model, variables = networks.network()
    assert_same(written("stablehlo", model, variables, tmp_path / "f"), model, variables)


def test_stablehlo_is_read_by_jax_alone_on_any_platform_and_has_plain_convolutions(tmp_path: pathlib.Path) -> None:
    model, variables = networks.network()
    stablehlo.write(tmp_path / "f", inference.for_inference(model, variables, networks.SIDE, 3))
    exported = jax.export.deserialize(bytearray((tmp_path / "f").read_bytes()))
    assert {"cpu", "cuda", "tpu"} <= set(exported.platforms)
    assert str(exported.in_avals[0].shape) == "(batch, 16, 16, 3)"
    # A platform has a branch of its own for each convolution.
    assert exported.mlir_module().count("stablehlo.convolution") == LAYERS * len(exported.platforms)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"padding": "same"},
        {"activation": activations.activation("relu")},
        {"activation": activations.activation("hard_swish")},
        {"residual": "none", "linear_bottleneck": False},
        {"dtype": jnp.bfloat16},
    ],
)
def test_onnx_holds_the_network(fields: dict[str, Any], tmp_path: pathlib.Path) -> None:
    pytest.importorskip("jax2onnx")
    model, variables = networks.network(**fields)
    run = written("onnx_file", model, variables, tmp_path / "f")
    assert_same(run, model.clone(dtype=jnp.float32), variables)


def test_onnx_holds_mobilenet_v1_as_keras_pads_it(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("jax2onnx")
    model = MobileNetV1(num_classes=5, separable_stages=((16, 1, 1), (24, 1, 2)), padding="keras_v1")
    variables = random_networks.random_variables(model, networks.images(1))
    assert_same(written("onnx_file", model, variables, tmp_path / "f"), model, variables)


def test_onnx_has_one_operator_a_layer(tmp_path: pathlib.Path) -> None:
    onnx = pytest.importorskip("onnx")
    written("onnx_file", *networks.network(), tmp_path / "f")
    graph = onnx.load(tmp_path / "f").graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("Conv") == LAYERS
    assert operators.count("Clip") == LAYERS - 4  # linear bottlenecks have none
    assert not {"BatchNormalization", "Max", "Min", "Identity", "Dropout", "If"} & set(operators)
    assert [value.name for value in (*graph.input, *graph.output)] == ["images", "logits"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("name", ["relu6", "relu"])
def test_onnx_in_8_bits_is_near_the_network_and_its_convolutions_are_quantised(
    name: str, tmp_path: pathlib.Path
) -> None:
    onnx = pytest.importorskip("onnx")
    model, variables = networks.network(activation=activations.activation(name))
    run = written("onnx_int8", model, variables, tmp_path / "f", networks.images(32))
    assert_same(run, model, variables, within=0.05)
    graph = onnx.load(tmp_path / "f").graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        if node.op_type == "Conv":
            kernel, scale = (weights[value] for value in makers[node.input[1]].input[:2])
            assert kernel.data_type == onnx.TensorProto.INT8
            assert list(scale.dims) == [kernel.dims[0]]  # one for each output channel
    assert not {"Clip", "Relu"} & {node.op_type for node in graph.node}  # within the ranges


@pytest.mark.slow
@pytest.mark.parametrize("calibrated, within", [(False, CLOSE), (True, 0.05)])
@pytest.mark.parametrize("name", ["relu6", "hard_swish"])
@pytest.mark.filterwarnings("ignore")
def test_tflite_holds_the_network(calibrated: bool, within: float, name: str, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("ai_edge_litert")
    model, variables = networks.network(activation=activations.activation(name))
    calibration = networks.images(32) if calibrated else None
    run = written("tflite_file", model, variables, tmp_path / "f", calibration)
    assert_same(run, model, variables, within)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables["params"]))
    assert ((tmp_path / "f").stat().st_size < 3 * size) or not calibrated
