"""Random erasing, which `training/mixing.py` does after the mixtures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mobilenet_v2.training import mixing
from mobilenet_v2.training.steps import normalize
from tests.training.test_mixing import RNG, as_float, augment, batch
from tests.training.test_steps import tiny


@functools.cache
def erased(probability: float) -> np.ndarray:
    """[4000, 4], for images of 100 × 80."""
    return np.asarray(mixing.erasing_boxes(RNG, (4000, 100, 80), augment(erasing=probability)))


def test_erased_boxes_have_an_area_and_aspect_within_their_ranges() -> None:
    boxes = erased(1.0)
    height, width = (boxes[:, 2:] - boxes[:, :2]).T
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [100, 80]).all()
    share, aspect = height * width / 8000, height / width
    assert 0.018 < share.min() < 0.03
    assert 0.32 < share.max() < 0.345
    assert 0.27 < aspect.min() < 0.33
    assert 3.0 < aspect.max() < 3.6
    assert np.median(np.log(aspect)) == pytest.approx(0, abs=0.1)


def test_erased_boxes_may_touch_every_side() -> None:
    boxes = erased(1.0)
    assert boxes[:, :2].min(axis=0).tolist() == [0, 0]
    assert boxes[:, 2:].max(axis=0).tolist() == [100, 80]


def test_a_share_of_the_images_is_erased() -> None:
    some = erased(0.25)
    assert some.any(axis=1).mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(some[some.any(axis=1)], erased(1.0)[some.any(axis=1)])


def test_a_box_that_never_fits_erases_nothing() -> None:
    section = augment(erasing=1.0, erasing_area=(1.0, 1.0), erasing_aspect=(1.0, 1.0))
    assert not mixing.erasing_boxes(RNG, (5, 8, 8), section).any()


def test_erased_pixels_are_the_mean_colour_and_the_others_stay() -> None:
    config = tiny()
    rows = jax.tree.map(jnp.asarray, batch())
    prepared = mixing.with_mixture(rows, RNG, augment(erasing=1.0))
    plain = normalize(rows["image"], config)
    images = mixing.mixed_images(prepared, functools.partial(normalize, config=config))
    box = np.asarray(mixing.inside(prepared["erased"], 8, 8))
    assert (box.sum(axis=(1, 2, 3)) == mixing.area(prepared["erased"])).all()
    assert box.any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(images, np.where(box, 0, plain))


def test_a_partner_is_erased_as_it_is_in_its_own_row() -> None:
    prepared = mixing.with_mixture(batch(), RNG, augment(erasing=0.5, mixup=1.0))
    np.testing.assert_array_equal(prepared["partner"]["erased"], np.roll(prepared["erased"], 1, axis=0))
    assert (np.asarray(mixing.mixed_images(prepared, as_float)).min(axis=(1, 2, 3)) == 0).any()
