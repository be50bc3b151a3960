import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import digits
from mobilenet_v2.data.pipeline import (
    evaluation_batches,
    evaluation_indices,
    steps_of,
    training_batches,
    training_indices,
)

EXAMPLES, BATCH = 50, 8


def source(examples: int = EXAMPLES) -> list[dict[str, Any]]:
    """Records whose label is their index."""
    rng = np.random.default_rng(0)
    images = [cv2.imencode(".png", rng.integers(0, 256, (8, 8), np.uint8))[1].tobytes() for _ in range(examples)]
    return [{"image": image, "label": index} for index, image in enumerate(images)]


def make_config(batch_size: int = BATCH, num_threads: int = 0, seed: int = 0) -> ConfigDict:
    config = digits.get_config()
    config.seed = seed
    config.data.update(image_size=8, num_threads=num_threads)
    config.augment.flip = True
    config.train.batch_size = batch_size
    return config


def take(batches: Any, count: int) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(iter(batches), count))


def assert_same(one: list[dict[str, np.ndarray]], other: list[dict[str, np.ndarray]]) -> None:
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def joined(hosts: list[list[dict[str, np.ndarray]]]) -> list[dict[str, np.ndarray]]:
    """Global batches: the hosts' rows one under the other."""
    batches = zip(*hosts, strict=True)
    return [{name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for parts in batches]


def labels(batches: list[dict[str, np.ndarray]]) -> np.ndarray:
    return np.concatenate([batch["label"] for batch in batches])


def test_a_batch_has_the_shapes_and_types_that_a_step_takes() -> None:
    batch = take(training_batches(source(), make_config()), 1)[0]
    assert {name: (array.dtype, array.shape) for name, array in batch.items()} == {
        "image": (np.uint8, (BATCH, 8, 8, 3)),
        "label": (np.int32, (BATCH,)),
        "mask": (np.float32, (BATCH,)),
    }


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_every_host_count_sees_the_same_global_batches(hosts: int) -> None:
    expected = take(training_batches(source(), make_config()), 15)
    parts = [
        take(training_batches(source(), make_config(), process_index=host, process_count=hosts), 15)
        for host in range(hosts)
    ]
    assert all(len(batch["label"]) == BATCH // hosts for part in parts for batch in part)
    assert_same(joined(parts), expected)


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_every_host_count_evaluates_the_same_global_batches(hosts: int) -> None:
    expected = list(evaluation_batches(source(), make_config()))
    parts = [
        list(evaluation_batches(source(), make_config(), process_index=host, process_count=hosts))
        for host in range(hosts)
    ]
    assert_same(joined(parts), expected)


def test_every_epoch_is_another_permutation_of_all_examples() -> None:
    epochs = labels(take(training_batches(source(), make_config()), 4 * EXAMPLES // BATCH)).reshape(4, EXAMPLES)
    for epoch in epochs:
        assert sorted(epoch) == list(range(EXAMPLES))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_an_example_is_augmented_anew_in_every_epoch() -> None:
    batches = take(training_batches(source(), make_config()), 2 * EXAMPLES // BATCH + 1)
    images = np.concatenate([batch["image"] for batch in batches])
    seen = [images[i] for i in np.flatnonzero(labels(batches) == 3)]
    assert (seen[0] != seen[1]).any()


def test_training_images_may_have_a_size_of_their_own() -> None:
    config = make_config()
    config.augment.update(image_size=16, crop="random_resized")
    assert take(training_batches(source(), config), 1)[0]["image"].shape == (BATCH, 16, 16, 3)
    assert take(evaluation_batches(source(), config), 1)[0]["image"].shape == (BATCH, 8, 8, 3)


def test_repeated_examples_take_places_side_by_side_with_other_draws() -> None:
    config = make_config()
    config.augment.repeats = 4
    batches = take(training_batches(source(), config), 4 * EXAMPLES // BATCH)
    places = labels(batches).reshape(-1, 4)
    assert (places == places[:, :1]).all()
    assert sorted(places[:, 0]) == list(range(EXAMPLES))  # all of them once in four epochs
    images = np.concatenate([batch["image"] for batch in batches]).reshape(-1, 4, 8, 8, 3)
    assert (images[:, 0] != images[:, 1]).any(axis=(1, 2, 3)).all()
    assert steps_of(source(), config)[1] == EXAMPLES / BATCH


def test_repeated_examples_keep_the_order_of_the_shuffle() -> None:
    config = make_config()
    once = labels(take(training_batches(source(), config), 6))
    config.augment.repeats = 3
    np.testing.assert_array_equal(labels(take(training_batches(source(), config), 6)), np.repeat(once, 3)[: 6 * BATCH])


@pytest.mark.parametrize("taken", [1, 5])
def test_repeated_examples_resume_anywhere_and_on_any_number_of_hosts(taken: int) -> None:
    config = make_config()
    config.augment.repeats = 3
    whole = take(training_batches(source(), config), 9)
    assert_same(take(training_batches(source(), config, start_step=taken), 9 - taken), whole[taken:])
    hosts = [take(training_batches(source(), config, process_index=i, process_count=2), 9) for i in range(2)]
    assert_same(joined(hosts), whole)


def test_the_seed_decides_the_order() -> None:
    first, again, other = (labels(take(training_batches(source(), make_config(seed=s)), 6)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("hosts", [1, 2, 4])
@pytest.mark.parametrize("taken", [0, 1, 6, 13])
def test_from_any_step_on_the_batches_are_those_of_a_run_that_was_never_stopped(taken: int, hosts: int) -> None:
    whole = take(training_batches(source(), make_config(num_threads=2)), 16)
    place = {"start_step": taken, "process_count": hosts}
    parts = [
        take(training_batches(source(), make_config(), process_index=host, **place), 16 - taken)
        for host in range(hosts)
    ]
    assert_same(joined(parts), whole[taken:])


@pytest.mark.parametrize("host", [0, 1])
def test_the_record_behind_each_row_is_known_without_reading_it(host: int) -> None:
    place = {"process_index": host, "process_count": 2}
    behind = training_indices(source(), make_config(), start_step=3, **place)
    read = labels(take(training_batches(source(), make_config(), start_step=3, **place), 20))
    assert [behind[row] for row in range(len(read))] == read.tolist()
    behind = evaluation_indices(source(), make_config(), **place)
    batches = list(evaluation_batches(source(), make_config(), **place))
    mask = np.concatenate([batch["mask"] for batch in batches])
    indices = np.array([behind[row] for row in range(len(mask))])
    np.testing.assert_array_equal(indices[mask == 1], labels(batches)[mask == 1])
    assert (indices[mask == 0] >= EXAMPLES).all()


def test_threads_that_read_ahead_change_nothing() -> None:
    without, ahead = (take(training_batches(source(), make_config(num_threads=n)), 15) for n in (0, 2))
    assert_same(ahead, without)


@pytest.mark.parametrize("num_threads", [0, 2])
@pytest.mark.parametrize("examples", [360, 359, 1])
def test_evaluation_gives_each_example_once_and_fills_up_with_mask_0(examples: int, num_threads: int) -> None:
    config = make_config(batch_size=128, num_threads=num_threads)
    batches = list(evaluation_batches(source(examples), config))
    assert [len(batch["label"]) for batch in batches] == [128] * -(-examples // 128)
    mask = np.concatenate([batch["mask"] for batch in batches])
    assert set(mask) <= {0.0, 1.0}
    np.testing.assert_array_equal(labels(batches)[mask == 1], np.arange(examples))
    assert not np.concatenate([batch["image"] for batch in batches])[mask == 0].any()


def test_evaluation_does_not_augment() -> None:
    first, again = list(evaluation_batches(source(), make_config())), list(evaluation_batches(source(), make_config()))
    assert_same(first, again)
    pixels = cv2.imdecode(np.frombuffer(source()[9]["image"], np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(first[1]["image"][1], pixels)


def test_a_corrupt_record_keeps_its_row_with_mask_0() -> None:
    records = source()
    records[5] = {"image": b"damaged", "label": 5}
    mask = np.concatenate([batch["mask"] for batch in evaluation_batches(records, make_config())])
    assert np.flatnonzero(mask[:EXAMPLES] == 0).tolist() == [5]
    batches = take(training_batches(records, make_config()), 25)
    mask = np.concatenate([batch["mask"] for batch in batches])
    assert set(labels(batches)[mask == 0]) == {5}
    assert (mask == 0).sum() == 4


@pytest.mark.parametrize(
    "num_epochs, num_steps, expected",
    [(4.0, None, 25), (1.0, None, 6), (0.5, None, 3), (0.001, None, 1), (4.0, 7, 7)],
)
def test_steps_are_those_of_the_epochs_unless_they_are_given(
    num_epochs: float, num_steps: int | None, expected: int
) -> None:
    config = make_config()
    config.train.update(num_epochs=num_epochs, num_steps=num_steps)
    assert steps_of(source(), config) == (expected, EXAMPLES / BATCH)
