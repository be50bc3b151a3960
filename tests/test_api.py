"""The package as a notebook imports it."""

import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import mobilenet_v2 as mnv2
from mobilenet_v2.commands import import_weights
from mobilenet_v2.errors import DataError, WeightsError
from mobilenet_v2.models.variants import PREPROCESSING, Preprocessing
from mobilenet_v2.training import loop
from mobilenet_v2.weights.save import save_weights
from tests.weights import small

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 60, 3), np.uint8)


@pytest.fixture
def weights(tmp_path: pathlib.Path) -> pathlib.Path:
    """A file of ours with a small network for 32-pixel images."""
    model = small.network(num_classes=5)
    path = tmp_path / "weights.safetensors"
    preprocessing = Preprocessing("shorter_side", "bilinear", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 32, 36)
    save_weights(path, model, mnv2.init(model, 32), source="timm", preprocessing=preprocessing, report=small.quiet)
    return path


def by_hand(model: object, variables: object, images: np.ndarray) -> np.ndarray:
    """Logits of images scaled to a shorter side of 36 pixels, and the central 32 of them."""
    rows = []
    for image in images:
        scaled = np.asarray(Image.fromarray(image).resize((54, 36), Image.Resampling.BILINEAR))
        rows.append((scaled[2:34, 11:43] / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4])
    return np.asarray(model.apply(variables, np.stack(rows).astype(np.float32), train=False))


def test_importing_the_package_imports_no_jax() -> None:
    command = (
        "import sys, mobilenet_v2; assert 'jax' not in sys.modules; mobilenet_v2.predict; assert 'jax' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", command], check=True)


def test_every_name_is_there_and_others_are_not() -> None:
    for name in mnv2.__all__:
        assert callable(getattr(mnv2, name))
    assert set(mnv2.__all__) <= set(dir(mnv2))
    with pytest.raises(AttributeError, match="has no attribute 'load_pretraind'"):
        mnv2.load_pretraind  # noqa: B018


def test_predictions_are_of_images_made_ready_as_the_weights_say(weights: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    expected = np.asarray(jax.nn.softmax(by_hand(model, variables, IMAGES)))
    found = mnv2.predict(model, variables, list(IMAGES), top=5)
    assert len(found) == 5
    for row, probabilities in zip(found, expected, strict=True):
        assert [one.label for one in row] == np.argsort(-probabilities).tolist()
        np.testing.assert_allclose([one.probability for one in row], np.sort(probabilities)[::-1], rtol=1e-4)


def test_an_image_may_be_a_path_bytes_pillows_or_pixels(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    path = tmp_path / "image.png"
    Image.fromarray(IMAGES[0]).save(path)
    kinds = [path, str(path), path.read_bytes(), Image.open(path), IMAGES[0]]
    pooled = mnv2.features(model, variables, kinds)
    assert pooled.shape == (5, 128)
    np.testing.assert_array_equal(pooled, np.broadcast_to(pooled[:1], pooled.shape))
    np.testing.assert_allclose(mnv2.features(model, variables, path), pooled[:1], rtol=1e-3)


def test_features_are_those_of_any_endpoint_and_number_of_images(weights: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    many = [IMAGES[index % 5] for index in range(35)]
    found = mnv2.features(model, variables, many, endpoint="block_00")
    assert found.shape[0] == 35
    np.testing.assert_allclose(found[:5], found[30:], rtol=1e-4, atol=1e-5)
    for wrong in ("block5", "block_5", "Block_05"):
        with pytest.raises(
            ValueError, match=f"has no endpoint '{wrong}'; did you mean 'block_05'. It has stem, block_00"
        ):
            mnv2.features(model, variables, many[0], endpoint=wrong)
    with pytest.raises(
        ValueError, match=r"has no endpoint 'x'\. It has stem, .*, logits, and layers within blocks, as b"
    ):
        mnv2.features(model, variables, [], endpoint="x")
    with pytest.raises(ValueError, match=r"endpoint is \['stem'\], must be one name; model\.endpoints has several"):
        mnv2.features(model, variables, many[0], endpoint=["stem"])


def test_features_of_no_images_have_the_shape_of_features(weights: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    assert mnv2.features(model, variables, []).shape == (0, 128)
    assert mnv2.features(model, variables, iter(()), endpoint="block_00").shape == (0, 16, 16, 8)
    assert mnv2.predict(model, variables, []) == []


def test_several_images_may_be_any_iterable_and_pixels_any_librarys(weights: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    expected = mnv2.features(model, variables, list(IMAGES))
    for several in (IMAGES, jnp.asarray(IMAGES), (image for image in IMAGES), tuple(map(jnp.asarray, IMAGES))):
        np.testing.assert_array_equal(mnv2.features(model, variables, several), expected)
    np.testing.assert_allclose(mnv2.features(model, variables, jnp.asarray(IMAGES[0])), expected[:1], rtol=1e-3)


def test_paths_may_be_what_a_folder_is_searched_for(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    for index, image in enumerate(IMAGES[:2]):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    assert len(mnv2.predict(model, variables, tmp_path.glob("*.png"))) == 2


@pytest.mark.parametrize("top", [0, -1, 2.5, True])
def test_as_many_classes_are_shown_as_a_number_says(top: object, weights: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    with pytest.raises(ValueError, match=f"top is {top}, must be an integer ≥ 1"):
        mnv2.predict(model, variables, IMAGES[0], top=top)


def test_an_image_has_a_size(weights: pathlib.Path) -> None:
    model = small.network()
    with pytest.raises(WeightsError, match="image_size is -64, must be an integer ≥ 1"):
        mnv2.load_pretrained(weights, image_size=-64)
    with pytest.raises(WeightsError, match="num_classes is '7', must be an integer ≥ 0"):
        mnv2.load_pretrained(weights, num_classes="7")
    for size in (-4, 0, 32.0):
        with pytest.raises(ValueError, match=f"image_size is {size}, must be an integer ≥ 1"):
            mnv2.summarize(model, image_size=size)
        with pytest.raises(ValueError, match=f"image_size is {size}, must be an integer ≥ 1"):
            mnv2.init(model, image_size=size)


def test_variables_that_are_not_the_networks_own_are_told_by_their_first_array(weights: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    wider = mnv2.init(small.network(num_classes=5, width_multiplier=0.5), 32)
    with pytest.raises(WeightsError, match=r"another network's: .* is \[.*\], must be \[.*\]") as told:
        mnv2.features(model, wider, IMAGES[0])
    assert told.value.__suppress_context__
    shorter = {**variables, "params": {name: one for name, one in variables["params"].items() if name != "head"}}
    with pytest.raises(WeightsError, match=r"another network's: params/head/.* is missing, must be \["):
        mnv2.predict(model, shorter, IMAGES[0])
    with pytest.raises(WeightsError, match=r"variables hold .*stem.* and no batch_stats, must be \{'params': …"):
        mnv2.features(model, variables["params"], IMAGES[0])
    with pytest.raises(WeightsError, match=r"variables are of type NoneType, must be \{'params'"):
        mnv2.features(model, None, IMAGES[0])


def test_a_network_whose_preprocessing_nobody_knows_predicts_nothing_until_it_is_told() -> None:
    model = small.network(num_classes=5)
    variables = mnv2.init(model, 32)
    with pytest.raises(WeightsError, match="does not say how images are made ready"):
        mnv2.predict(model, variables, IMAGES[0])
    told = mnv2.with_preprocessing(model, PREPROCESSING["keras"], ("a", "b", "c", "d", "e"))
    assert {one.name for one in mnv2.predict(told, variables, IMAGES[0])[0]} == set("abcde")


@pytest.mark.parametrize(
    "image, says",
    [
        (
            IMAGES[0].astype(np.float32),
            r"an image is float32 \[40, 60, 3\], must be uint8 \[height, width, 3\], .*: normalised images are for",
        ),
        (IMAGES[0].astype(int), r"int64 \[40, 60, 3\], must be .*: pixels\.astype\('uint8'\)"),
        (IMAGES[0][..., 0], r"uint8 \[40, 60\], must be uint8 .*: grey.* as PIL\.Image\.fromarray\(pixels\)$"),
        (IMAGES[0][..., :1], r"uint8 \[40, 60, 1\], must be .* PIL\.Image\.fromarray\(pixels\[\.\.\., 0\]\)$"),
        (
            np.zeros((4, 5, 4), np.uint8),
            r"uint8 \[4, 5, 4\], must be .* transparent .* PIL\.Image\.fromarray\(pixels\)$",
        ),
        (np.zeros((0, 5, 3), np.uint8), r"uint8 \[0, 5, 3\], must be uint8 \[height, width, 3\], from 0 to 255$"),
        ([IMAGES[0], IMAGES[0][..., 0]], r"images\[1\] is uint8 \[40, 60\], must be"),
        ([IMAGES[0], IMAGES], r"images\[1\] is uint8 \[5, 40, 60, 3\], must be .*: several are a list, list\(images\)"),
        ([b"no image"], r"images\[0\] can't be read"),
        ([None], r"images\[0\] is None, must be a path, encoded bytes, Pillow's image, or pixels, which must be uint8"),
        (
            None,
            "images are None, must be a path, encoded bytes, Pillow's image or pixels uint8 .*, or several of these",
        ),
        (b"no image", "image 'bytes' can't be read"),
        ("none.png", r"image 'none\.png' can't be read: No such file"),
    ],
)
def test_what_is_no_image_is_named(image: object, says: str, weights: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    with pytest.raises(DataError, match=says):
        mnv2.predict(model, variables, image)


def test_a_picture_that_pillow_finds_damaged_is_no_image(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model, variables = mnv2.load_pretrained(weights, report=small.quiet)
    path = tmp_path / "image.png"
    Image.fromarray(IMAGES[0]).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    says = r"images\[1\] can't be read: .*truncated"
    with Image.open(path) as damaged, pytest.raises(DataError, match=says):
        mnv2.predict(model, variables, [IMAGES[0], damaged])


def test_a_runs_classes_have_the_names_of_its_data_set(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    tiny_config.train.update(num_steps=4, log_every=4)
    loop.run(tiny_config, str(tmp_path / "run"))
    model, variables = mnv2.load_pretrained(tmp_path / "run", report=small.quiet)
    assert model.provenance.class_names == tuple("0123456789")
    assert mnv2.predict(model, variables, IMAGES[0])[0][0].name in "0123456789"
    fewer, _ = mnv2.load_pretrained(tmp_path / "run", 3, report=small.quiet)
    assert fewer.provenance.class_names == ()


def test_a_summary_is_a_table_in_a_notebook_and_text_elsewhere() -> None:
    found = mnv2.summarize(mnv2.create_model("torchvision/mobilenet_v2_100"))
    assert found.cost.multiply_adds == 300_774_272
    assert "3,504,872" in str(found)
    assert "<td>3,504,872</td>" in found._repr_html_()
    assert found._repr_html_().count("<tr>") == 1 + 20 + 1
    heads = found._repr_html_().partition("</thead>")[0].replace("</th>", " ").replace("<th>", "")
    assert heads.endswith("block output expanded parameters multiply-adds output kB peak kB </tr>")
    assert all(name in str(found) for name in ("expanded", "output kB", "peak kB"))


def test_a_summary_is_for_the_size_that_the_weights_were_made_for(weights: pathlib.Path) -> None:
    model, _ = mnv2.load_pretrained(weights, report=small.quiet)
    assert mnv2.summarize(model).cost == mnv2.summarize(model, 32).cost != mnv2.summarize(model, 64).cost
    larger, _ = mnv2.load_pretrained(weights, image_size=64, report=small.quiet)
    assert larger.provenance.preprocessing.resize_size == 72


def test_a_file_of_ours_that_was_written_of_published_weights_has_their_classes_names(tmp_path: pathlib.Path) -> None:
    model, path = small.network(num_classes=1000), tmp_path / "timm.safetensors"
    save_weights(path, model, mnv2.init(model, 32), names="timm", report=small.quiet)
    output = tmp_path / "ours.safetensors"
    import_weights.main(["import_weights", f"--weights={path}", f"--output={output}"])
    found, _ = mnv2.load_pretrained(output, report=small.quiet)
    assert found.provenance.class_names[0] == "tench, Tinca tinca"
