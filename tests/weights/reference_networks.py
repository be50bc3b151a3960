"""What 25 networks of other code bases computed of weights and images that are functions of their names alone.

torchvision 0.29, timm 1.0.31, Keras 3.15, TF-slim on TensorFlow 2.21 and transformers 5.24, on a CPU. `networks.npz`
holds, by network: the first 12 `logits` of two images at three sizes [3, 2, 12] and the standard deviation of all of
them, the first 8 `pooled` features, mean and standard deviation of every block's output [3, 2, blocks, 2]; and of one
training step in float64: `loss`, six moving means and variances of three layers, and the gradients' norms in the order
of the sorted names.
"""

import functools
import pathlib
import tempfile
import zlib
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import save_file

from mobilenet_v2.models.variants import build_variant
from mobilenet_v2.weights.load import load_pretrained
from mobilenet_v2.weights.name_map import PAPER_REPEATS
from mobilenet_v2.weights.sources import BY_NAME
from tests.weights import formula, small

SIZES = (224, 96, 225)
LABELS = (0, 1, 17, 123, 500, 731, 998, 999)
STORED = np.load(pathlib.Path(__file__).parent / "reference" / "networks.npz")


class Reference(NamedTuple):
    """A stored network: whose names it has, the variant that it is, and what its file can't tell."""

    source: str
    variant: str
    fields: dict[str, Any]


def _references() -> dict[str, Reference]:
    found: dict[str, Reference] = {}
    for width in ("025", "050", "100", "140"):
        found[f"torchvision_mobilenet_v2_{width}"] = Reference("torchvision", f"torchvision/mobilenet_v2_{width}", {})
    for width in ("035", "050", "100", "140", "110d", "120d"):
        found[f"timm_mobilenetv2_{width}"] = Reference("timm", f"timm/mobilenetv2_{width}", {})
    tensorflow_style = {"padding": "same", "batch_norm_epsilon": 1e-3, "batch_norm_momentum": 0.99}
    found["timm_mobilenetv2_100_tfsame"] = Reference("timm", "timm/mobilenetv2_100_tfsame", tensorflow_style)
    for width in ("035", "050", "100", "140"):
        found[f"keras_mobilenet_v2_{width}"] = Reference("keras", f"keras/mobilenet_v2_{width}", {})
    for width in ("035", "050_shrunk_head", "100", "140"):
        found[f"slim_mobilenet_v2_{width}"] = Reference("slim", f"slim/mobilenet_v2_{width}", {})
    for width in ("035", "100"):
        found[f"hf_mobilenet_v2_{width}"] = Reference("huggingface", f"hf/mobilenet_v2_{width}", {})
    for width in ("025", "100"):
        for source in ("keras", "slim"):
            name = f"{source}_mobilenet_v1_{width}"
            found[name] = Reference(f"{source}_v1", f"{source}/mobilenet_v1_{width}", {})
    return found


REFERENCES = _references()


@functools.lru_cache(2)
def load(name: str) -> tuple[Any, Any]:
    """The network as it is imported from a file of its source's arrays, without dropout."""
    reference = REFERENCES[name]
    arrays = formula.weights(BY_NAME[reference.source], _shapes(reference), _repeats(reference))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "file"
        save_file(arrays, path)
        return load_pretrained(path, fields={"dropout_rate": 0.0, **reference.fields}, report=lambda line: None)


def path_of_name(name: str) -> dict[str, str]:
    """Our path of every name in the source's file."""
    reference = REFERENCES[name]
    return {entry.foreign: entry.ours for entry in BY_NAME[reference.source].entries(_repeats(reference))}


def stored(name: str, what: str) -> np.ndarray:
    """What was computed by the network `name`."""
    return STORED[f"{name}/{what}"]


def evaluation_images(size: int) -> np.ndarray:
    """Two images [2, size, size, 3] in [−1, 1]: triangle waves, and a photograph that scikit-learn carries."""
    photograph = _square("china.jpg", size)
    _check(photograph, f"photo_{size}")
    return formula.normalised(np.stack([formula.synthetic_image(size), photograph]))


def training_images() -> np.ndarray:
    """Eight images [8, 64, 64, 3]: the quadrants of two photographs."""
    corners = [(y, x) for y in (0, 64) for x in (0, 64)]
    squares = [_square(name, 128) for name in ("china.jpg", "flower.jpg")]
    images = np.stack([square[y : y + 64, x : x + 64] for square in squares for y, x in corners])
    _check(images, "train_64")
    return formula.normalised(images)


def _square(name: str, size: int) -> np.ndarray:
    """The central square of one of scikit-learn's photographs, bilinearly scaled by Pillow."""
    image = pytest.importorskip("PIL.Image")
    from sklearn.datasets import load_sample_image

    photograph = load_sample_image(name)
    height, width, _ = photograph.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image.fromarray(photograph[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size), image.Resampling.BILINEAR))


def _check(images: np.ndarray, name: str) -> None:
    if zlib.crc32(images.tobytes()) != STORED[f"crc/{name}"]:
        pytest.skip("this JPEG decoder gives other pixels than the stored numbers are of")


def _shapes(reference: Reference) -> dict[str, tuple[int, ...]]:
    return small.shapes(build_variant(reference.variant))


def _repeats(reference: Reference) -> tuple[int, ...]:
    stages = getattr(build_variant(reference.variant), "stages", None)
    return tuple(stage.repeats for stage in stages) if stages else PAPER_REPEATS
