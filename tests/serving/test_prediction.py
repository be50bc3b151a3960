import dataclasses
import io
import pathlib
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import mobilenet_v2 as mnv2
from mobilenet_v2.commands import import_weights
from mobilenet_v2.data.transforms import Preprocess
from mobilenet_v2.models.variants import Preprocessing
from mobilenet_v2.serving.photographs import prepare
from mobilenet_v2.training import loop
from tests.weights import small

GREEN = (10, 200, 90)


def encoded(mode: str, format_: str, **options: Any) -> bytes:
    """A picture of noise, 20 × 30 pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise, "RGBA").convert(mode).save(buffer, format_, **options)
    return buffer.getvalue()


def turned() -> bytes:
    """A photograph that the camera took on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("RGB", "JPEG", exif=exif)


def preprocessing(**fields: Any) -> Preprocessing:
    half = (0.5, 0.5, 0.5)
    return Preprocessing("shorter_side", "bilinear", half, half, 16, **fields)


def in_training(image: bytes, stated: Preprocessing) -> np.ndarray:
    """As a run that was configured so evaluates it."""
    fields = {k: v for k, v in dataclasses.asdict(stated).items() if k not in ("mean", "std", "crop_size")}
    return Preprocess(stated.crop_size, **fields).map({"image": image, "label": 0})["image"]


@pytest.mark.parametrize("image", [encoded("RGBA", "PNG"), encoded("LA", "PNG"), turned()])
@pytest.mark.parametrize("exif_orientation", [False, True])
def test_pictures_are_made_ready_as_in_the_run(image: bytes, exif_orientation: bool) -> None:
    stated = preprocessing(background=GREEN, exif_orientation=exif_orientation)
    expected = in_training(image, stated)
    np.testing.assert_array_equal(prepare(image, stated), expected)
    difference = prepare(Image.open(io.BytesIO(image)), stated).astype(int) - expected
    assert np.abs(difference).max() <= 1  # two decoders


def test_the_background_and_the_orientation_are_seen() -> None:
    black, green = (preprocessing(background=colour, exif_orientation=True) for colour in ((0, 0, 0), GREEN))
    assert np.abs(prepare(encoded("RGBA", "PNG"), black) - prepare(encoded("RGBA", "PNG"), green)).max() > 5
    stored = preprocessing(background=GREEN, exif_orientation=False)
    assert not np.array_equal(prepare(turned(), green), prepare(turned(), stored))


def test_where_nothing_is_said_photographs_are_turned_and_the_background_is_black() -> None:
    black = preprocessing(background=(0, 0, 0), exif_orientation=True)
    for image in (encoded("RGBA", "PNG"), turned()):
        np.testing.assert_array_equal(prepare(image, preprocessing()), prepare(image, black))


def test_a_run_and_the_file_written_of_it_say_how_pictures_are_made_ready_and_what_classes_are_called(
    tiny_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_config.train.update(num_steps=2, log_every=2)
    tiny_config.data.update(background=GREEN, exif_orientation=True)
    loop.run(tiny_config, str(tmp_path / "run"))
    output = tmp_path / "weights.safetensors"
    import_weights.main(["import_weights", f"--weights={tmp_path / 'run'}", f"--output={output}"])
    found = [mnv2.load_pretrained(name, report=small.quiet) for name in (tmp_path / "run", output)]
    image = encoded("RGBA", "PNG")
    for model, _ in found:
        assert model.provenance.class_names == tuple("0123456789")
        np.testing.assert_array_equal(
            prepare(image, model.provenance.preprocessing),
            Preprocess.of(tiny_config.data).map({"image": image, "label": 0})["image"],
        )
    run, read = (mnv2.predict(model, variables, [image])[0] for model, variables in found)
    assert run == read
    capsys.readouterr()
    mnv2.load_pretrained(output)
    expected = "images: turned as the camera noted, transparency over RGB (10, 200, 90), all of it to 16 × 16"
    assert expected in capsys.readouterr().out
