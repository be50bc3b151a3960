import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mobilenet_v2.data.pipeline import training_batches
from mobilenet_v2.data.sources import open_configured
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.training import loop, mixing, seen
from mobilenet_v2.training.steps import normalize

MIXED = {"mixup": 0.8, "cutmix": 1.0, "erasing": 0.5}


def train_source(config: ConfigDict) -> Any:
    return open_configured(config.data).split(config.data.train_split)


def batches_of_a_run(
    config: ConfigDict, workdir: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    """What the network was given in each step of a run: normalised images and labels."""
    taken: list[dict[str, Any]] = []
    mixed_images = mixing.mixed_images

    def watched(batch: dict[str, Any], normalize: Any) -> jax.Array:
        images = mixed_images(batch, normalize)
        rows = {"image": images, "label": batch["label"], **mixing.mixed_labels(batch)}
        jax.debug.callback(lambda rows: taken.append(jax.tree.map(np.array, rows)), rows)
        return images

    with monkeypatch.context() as patch:
        patch.setattr(mixing, "mixed_images", watched)
        loop.run(config, str(workdir))
        jax.effects_barrier()
    return taken


@pytest.mark.parametrize("residence", ["host", pytest.param("device", marks=pytest.mark.slow)])
def test_the_pictures_are_those_that_the_network_is_given_in_a_run(
    residence: str, tiny_config: ConfigDict, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.data.residence = residence
    tiny_config.augment.update(rotation=10.0, zoom=0.1, **MIXED)
    tiny_config.train.num_steps = 3
    run = batches_of_a_run(tiny_config, tmp_path / "run", monkeypatch)
    found = seen.first_seen(train_source(tiny_config), tiny_config, 40)
    expected = {name: np.concatenate([rows[name] for rows in run])[:40] for name in run[0]}
    assert found["image"].dtype == np.uint8
    assert len(found["image"]) == 40
    shown = np.asarray(seen.pixels(expected["image"], tiny_config)).astype(int)
    assert np.abs(found["image"] - shown).max() <= 1  # a rounding
    np.testing.assert_array_equal(found["label"], expected["label"])
    assert found["mask"].tolist() == [1] * 40
    np.testing.assert_allclose(found["own_share"], expected["own_share_B"], rtol=1e-6)
    np.testing.assert_array_equal(found["partner_label"], expected["partner_label_B"])
    assert (found["own_share"] < 1).any()


@pytest.mark.parametrize("augment", [{}, {**MIXED, "mix_probability": 0.0, "erasing": 0.0}], ids=["off", "never"])
def test_pictures_that_are_not_mixed_keep_their_bits(augment: dict[str, float], tiny_config: ConfigDict) -> None:
    tiny_config.augment.update(augment)
    source = train_source(tiny_config)
    found = seen.first_seen(source, tiny_config, 5)
    np.testing.assert_array_equal(found["image"], next(iter(training_batches(source, tiny_config)))["image"][:5])
    assert found["label"].shape == found["mask"].shape == (5,)
    assert found.get("own_share", np.ones(5)).tolist() == [1] * 5


def test_pixels_are_what_normalisation_made_them_of(tiny_config: ConfigDict) -> None:
    tiny_config.data.update(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    images = np.arange(256, dtype=np.uint8)[:, None, None, None].repeat(3, axis=-1)
    np.testing.assert_array_equal(seen.pixels(normalize(images, tiny_config), tiny_config), images)
    np.testing.assert_array_equal(seen.pixels(np.zeros((1, 1, 1, 3)), tiny_config), [[[[124, 116, 104]]]])


def test_a_split_too_large_for_a_device_is_refused_as_in_training(tiny_config: ConfigDict) -> None:
    tiny_config.data.update(residence="device", device_bytes=1000)
    with pytest.raises(ConfigError, match=r"each device must hold \d+ bytes"):
        seen.first_seen(train_source(tiny_config), tiny_config, 5)
