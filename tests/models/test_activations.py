import jax.numpy as jnp
import numpy as np
import pytest

from mobilenet_v2.config_fields import FIELDS
from mobilenet_v2.models.activations import activation, name_of

X = np.array([-4.0, -1.0, 0.0, 1.0, 8.0], np.float32)
SIGMOID = 1 / (1 + np.exp(-X))


@pytest.mark.parametrize(
    "name, expected",
    [
        ("relu6", np.clip(X, 0, 6)),
        ("relu", np.maximum(X, 0)),
        ("leaky_relu", np.where(X < 0, 0.01 * X, X)),
        ("swish", X * SIGMOID),
        ("hard_swish", X * np.clip(X + 3, 0, 6) / 6),
        ("gelu", 0.5 * X * (1 + np.tanh((2 / np.pi) ** 0.5 * (X + 0.044715 * X**3)))),
    ],
)
def test_a_name_is_the_function_of_its_paper(name: str, expected: np.ndarray) -> None:
    np.testing.assert_allclose(activation(name)(jnp.asarray(X)), expected, rtol=1e-5, atol=1e-6)
    assert FIELDS["model.activation"].accepts(name)
    assert name_of(activation(name)) == name


def test_a_function_without_a_name_is_itself() -> None:
    assert name_of(jnp.tanh) is jnp.tanh


def test_an_unknown_activation_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"one of relu6, relu, .*, got 'mish'"):
        activation("mish")
