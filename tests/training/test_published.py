import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from mobilenet_v2 import command_line
from mobilenet_v2.commands import evaluate
from mobilenet_v2.data.decode import decode
from mobilenet_v2.data.resizing import resize_to_square
from mobilenet_v2.data.sources import open_dataset
from mobilenet_v2.errors import ConfigError, WeightsError
from mobilenet_v2.models.variants import PREPROCESSING, Preprocessing
from mobilenet_v2.training.published import evaluate_imported, preprocessed
from mobilenet_v2.weights.load import import_file, load_pretrained
from mobilenet_v2.weights.save import save_weights
from tests.weights import small
from tests.weights.small import quiet

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

SIZE = 32


def classified(source: str, classes: int) -> dict[str, np.ndarray]:
    """A source's small network with a random classifier of so many classes."""
    arrays = small.arrays(source)
    rng = np.random.default_rng(0)
    for name, array in arrays.items():
        if small.CLASSES in array.shape:
            shape = tuple(classes if side == small.CLASSES else side for side in array.shape)
            arrays[name] = rng.normal(0, 1, shape).astype(np.float32)
    return arrays


def scored_by_hand(weights: pathlib.Path, config: ConfigDict, source: str, drop: int = 0) -> Any:
    """Loss and accuracy on the validation split, to compare with."""
    model, variables = load_pretrained(weights, report=quiet)
    preset = PREPROCESSING[source]
    resize_size = None if preset.resize_size is None else preset.resize_size * SIZE // 224
    records = open_dataset("digits", config.data.data_dir).split(config.data.validation_split)
    squares = [
        resize_to_square(
            decode(record["image"]),
            SIZE,
            resize=preset.resize,
            interpolation=preset.interpolation,
            resize_size=resize_size,
            crop_fraction=preset.crop_fraction,
        )
        for record in (records[index] for index in range(len(records)))
    ]
    x = (np.stack(squares).astype(np.float32) / 255 - np.float32(preset.mean)) / np.float32(preset.std)
    logits: Any = model.apply(variables, x, train=False)
    labels = np.array([records[index]["label"] for index in range(len(records))])
    logits = np.asarray(logits, np.float64)[:, drop:]
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    accuracy = (np.argmax(logits, axis=1) == labels).mean()
    return pytest.approx({"loss": losses.mean(), "accuracy": accuracy}, rel=1e-4)


@pytest.mark.parametrize(
    "source, preset",
    [
        ("torchvision", "torchvision"),
        pytest.param("keras", "keras", marks=pytest.mark.slow),
        pytest.param("timm", "timm", marks=pytest.mark.slow),
    ],
)
def test_weights_are_scored_with_their_source_s_preprocessing(
    source: str, preset: str, tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    save_file(classified(source, 10), tmp_path / "file")
    imported = import_file(tmp_path / "file", report=quiet)
    scores, examples = evaluate_imported("file", imported, tiny_config, SIZE, report=quiet)
    assert scores.keys() == {"validation", "test"}
    assert examples == {"validation": 50, "test": 40}
    assert scores["validation"] == scored_by_hand(tmp_path / "file", tiny_config, preset)


def test_one_class_more_than_the_data_set_s_is_the_background(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    save_file(classified("slim", 11), tmp_path / "file")
    lines: list[str] = []
    imported = import_file(tmp_path / "file", report=quiet)
    scores, _ = evaluate_imported("file", imported, tiny_config, SIZE, report=lines.append)
    assert any("background, is left out" in line for line in lines)
    assert scores["validation"] == scored_by_hand(tmp_path / "file", tiny_config, "slim", drop=1)


def test_a_file_of_ours_keeps_the_preprocessing_it_was_imported_with(
    tiny_config: ConfigDict, tmp_path: pathlib.Path
) -> None:
    save_file(classified("timm", 10), tmp_path / "file")
    imported = import_file(tmp_path / "file", report=quiet)
    model, variables = load_pretrained(tmp_path / "file", report=quiet)
    ours = tmp_path / "ours.safetensors"
    save_weights(ours, model, variables, preprocessing=imported.preprocessing, report=quiet)
    again = import_file(ours, report=quiet)
    assert again.preprocessing == imported.preprocessing == PREPROCESSING["timm"]
    expected, _ = evaluate_imported("file", imported, tiny_config, SIZE, report=quiet)
    found, _ = evaluate_imported("ours", again, tiny_config, SIZE, report=quiet)
    assert found == expected


def test_a_file_that_does_not_say_is_given_the_config_s_images(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    save_file(classified("timm", 10), tmp_path / "file")
    model, variables = load_pretrained(tmp_path / "file", report=quiet)
    save_weights(tmp_path / "ours.safetensors", model, variables, report=quiet)
    imported = import_file(tmp_path / "ours.safetensors", report=quiet)
    assert imported.preprocessing is None
    scores, _ = evaluate_imported("ours", imported, tiny_config, report=quiet)
    data = tiny_config.data
    stated = Preprocessing(data.resize, data.interpolation, data.mean, data.std, data.image_size)
    expected, _ = evaluate_imported("ours", imported._replace(preprocessing=stated), tiny_config, report=quiet)
    assert scores == expected
    assert scores["validation"] != scored_by_hand(tmp_path / "file", tiny_config, "timm")


def test_weights_without_a_classifier_can_not_be_scored(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    bare = {name: array for name, array in small.arrays("timm").items() if not name.startswith("classifier")}
    save_file(bare, tmp_path / "file")
    imported = import_file(tmp_path / "file", report=quiet)
    with pytest.raises(WeightsError, match="'file' have no classifier"):
        evaluate_imported("file", imported, tiny_config, SIZE, report=quiet)


def test_the_strides_of_the_config_s_own_network_do_not_matter(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    save_file(classified("timm", 10), tmp_path / "file")
    imported = import_file(tmp_path / "file", report=quiet)
    expected, _ = evaluate_imported("file", imported, tiny_config, SIZE, report=quiet)
    tiny_config.model.stages = ((1, 8, 1, 2), (2, 16, 2, 2), (2, 16, 1, 2), (2, 16, 1, 2), (2, 16, 1, 2), (2, 16, 1, 2))
    found, _ = evaluate_imported("file", imported, tiny_config, SIZE, report=quiet)
    assert found == expected


def test_other_classes_than_the_data_set_s_are_refused(tiny_config: ConfigDict, tmp_path: pathlib.Path) -> None:
    save_file(classified("timm", 7), tmp_path / "file")
    imported = import_file(tmp_path / "file", report=quiet)
    with pytest.raises(ConfigError, match="'digits' with 10 classes, must have the 7 classes of file"):
        evaluate_imported("file", imported, tiny_config, SIZE, report=quiet)


def test_the_command_prints_what_it_found(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(classified("torchvision", 10), tmp_path / "file")
    flags = [f"--weights={tmp_path / 'file'}", "--config=tests/tiny.py", f"--image_size={SIZE}"]
    data = f"--config.data.data_dir={tiny_config.data.data_dir}"
    evaluate.main(["evaluate", *flags, data, "--preprocessing=keras", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["validation"] == scored_by_hand(tmp_path / "file", tiny_config, "keras")
    evaluate.main(["evaluate", *flags, data])
    out = capsys.readouterr().out
    assert "file: torchvision, 262 arrays, sha256 " in out
    assert "validation accuracy " in out
    assert "(of 50 images)" in out


@pytest.mark.parametrize(
    "flags, texts",
    [
        (["--image_size=big"], ["--image_size is 'big'", "1 … 100000"]),
        (["--preprocessing=torchvison"], ["'torchvison'", "did you mean 'torchvision'"]),
        (["--workdir=runs/digits"], ["--workdir"]),
        (["--config="], ["--config"]),
        (["--weights=absent/file"], ["'absent/file'"]),
    ],
)
def test_a_wrong_flag_is_one_line(
    flags: list[str], texts: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(classified("torchvision", 10), tmp_path / "file")
    argv = ["evaluate", f"--weights={tmp_path / 'file'}", "--config=tests/tiny.py", "--offline", *flags]
    assert command_line.execute(evaluate.main, argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert [text for text in texts if text not in error] == [], error


def test_what_the_weights_say_of_background_and_orientation_counts_and_else_what_the_config_says(
    tiny_config: ConfigDict,
) -> None:
    tiny_config.data.update(background=(1, 2, 3), exif_orientation=True)
    kept = preprocessed(tiny_config, PREPROCESSING["timm"], None).data
    assert (kept.background, kept.exif_orientation) == ((1, 2, 3), True)
    stated = dataclasses.replace(PREPROCESSING["timm"], background=(9, 9, 9), exif_orientation=False)
    changed = preprocessed(tiny_config, stated, None).data
    assert (changed.background, changed.exif_orientation) == ((9, 9, 9), False)
