import pathlib
import random
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import SingleDeviceSharding

from mobilenet_v2.errors import CheckpointError
from mobilenet_v2.training import checkpoint, packing
from mobilenet_v2.training.state import TrainState, abstract_state, create_state


class Small(nn.Module):
    features: int = 8

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        return nn.BatchNorm(use_running_average=not train, name="bn")(nn.Dense(self.features, name="dense")(x))


def arguments() -> dict:
    sharding = SingleDeviceSharding(jax.devices()[0])
    return {"seed": 0, "image_size": 4, "ema": True, "place": lambda shapes: sharding}


def new_state(step: int) -> TrainState:
    state = create_state(Small(), optax.sgd(0.1, momentum=0.9), **arguments())
    scaled = jax.tree.map(lambda leaf: leaf + step, state.params)
    return state.replace(step=jnp.asarray(step, jnp.int32), params=scaled)


def target(features: int = 8) -> TrainState:
    return abstract_state(Small(features), optax.sgd(0.1, momentum=0.9), **arguments())


@pytest.fixture
def saved(tmp_path: pathlib.Path) -> pathlib.Path:
    manager = checkpoint.open_manager(tmp_path / "checkpoints", keep=2)
    for step in (1, 2, 3):
        checkpoint.save(manager, new_state(step), {"position": {"next_index": step}})
    manager.close()
    return tmp_path / "checkpoints"


def restore(folder: pathlib.Path, features: int = 8) -> checkpoint.Restored | None:
    manager = checkpoint.open_manager(folder, keep=2)
    try:
        return checkpoint.restore_latest(manager, target(features))
    finally:
        manager.close()


def bits(state: Any) -> dict[str, bytes]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {packing.name_of(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def arrays(folder: pathlib.Path, step: int) -> list[pathlib.Path]:
    return [path for path in (folder / str(step) / "state").rglob("d/*") if path.is_file()]


def test_what_is_restored_is_what_was_saved(saved: pathlib.Path) -> None:
    restored = restore(saved)
    assert restored is not None
    assert restored.extra == {"position": {"next_index": 3}}
    expected, found = jax.tree.leaves(new_state(3)), jax.tree.leaves(restored.state)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_the_newest_are_kept(saved: pathlib.Path) -> None:
    assert {path.name for path in saved.iterdir()} == {"2", "3"}


def test_an_empty_folder_restores_nothing(tmp_path: pathlib.Path) -> None:
    assert restore(tmp_path / "checkpoints") is None


def test_what_a_killed_save_left_is_cleared_away(saved: pathlib.Path) -> None:
    shutil.copytree(saved / "3", saved / "4.orbax-checkpoint-tmp")
    restored = restore(saved)
    assert restored is not None
    assert int(restored.state.step) == 3
    assert not (saved / "4.orbax-checkpoint-tmp").exists()


def test_saving_a_step_again_changes_nothing(saved: pathlib.Path) -> None:
    manager = checkpoint.open_manager(saved, keep=2)
    checkpoint.save(manager, new_state(3), {"position": "other"})
    manager.close()
    restored = restore(saved)
    assert restored is not None
    assert restored.extra["position"] == {"next_index": 3}


@pytest.mark.parametrize("damage", ["truncated", "missing", "other JSON"])
def test_a_damaged_checkpoint_is_said_aloud_and_the_one_before_is_taken(
    saved: pathlib.Path, damage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage == "truncated":
        for path in arrays(saved, 3):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "missing":
        shutil.rmtree(saved / "3" / "extra")
    else:
        text = (saved / "3" / "extra" / "metadata").read_text()
        assert "next_index" in text
        (saved / "3" / "extra" / "metadata").write_text(text.replace("next_index", "next_indey"))
    restored = restore(saved)
    assert restored is not None
    assert int(restored.state.step) == 2
    assert "checkpoint 3 is damaged" in capsys.readouterr().err
    assert (saved / "3.damaged").is_dir()
    manager = checkpoint.open_manager(saved, keep=2)
    checkpoint.save(manager, new_state(3), {"position": None})
    manager.close()
    assert (saved / "3").is_dir()


def test_arrays_that_are_not_what_was_saved_are_damage(
    saved: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crc32 = packing.crc32
    monkeypatch.setattr(packing, "crc32", lambda array: crc32(array) ^ (array.shape == (3, 8)))
    manager = checkpoint.open_manager(saved, keep=3)
    checkpoint.save(manager, new_state(4), {"position": None})
    manager.close()
    monkeypatch.undo()
    restored = restore(saved)
    assert restored is not None
    assert int(restored.state.step) == 3
    assert "checkpoint 4 is damaged (checksum of " in capsys.readouterr().err


@pytest.mark.parametrize("case", range(10))
def test_a_flipped_bit_in_any_file_changes_nothing_that_is_restored(saved: pathlib.Path, case: int) -> None:
    draw = random.Random(case)
    path = draw.choice(sorted(path for path in (saved / "3").rglob("*") if path.is_file()))
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    restored = restore(saved)
    assert restored is not None
    step = int(restored.state.step)
    assert step in (2, 3)
    assert restored.extra == {"position": {"next_index": step}}
    assert bits(restored.state) == bits(new_state(step))


def test_with_no_whole_checkpoint_the_error_names_the_folder_and_all_is_left_where_it_is(saved: pathlib.Path) -> None:
    for step in (2, 3):
        shutil.rmtree(saved / str(step) / "extra")
    before = sorted(saved.rglob("*"))
    for _ in range(2):
        with pytest.raises(
            CheckpointError,
            match=r"none of the checkpoints in .*checkpoints can be read: \[3, 2\]; they are left as they are",
        ):
            restore(saved)
    assert sorted(saved.rglob("*")) == before


def test_a_step_may_be_damaged_twice(saved: pathlib.Path) -> None:
    (saved / "3.damaged" / "old").mkdir(parents=True)
    shutil.rmtree(saved / "3" / "extra")
    restored = restore(saved)
    assert restored is not None
    assert int(restored.state.step) == 2
    assert not (saved / "3.damaged" / "old").exists()


def test_a_checkpoint_of_another_model_names_the_first_array_that_differs(saved: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match=r"of another model: .* first \S+: float32\[8\] there, float32\[16\]"):
        restore(saved, features=16)
    assert {path.name for path in saved.iterdir()} == {"2", "3"}


def test_a_reader_changes_nothing_even_where_a_checkpoint_is_damaged_or_being_written(saved: pathlib.Path) -> None:
    shutil.copytree(saved / "3", saved / "4.orbax-checkpoint-tmp")
    shutil.rmtree(saved / "3" / "extra")
    before = sorted(saved.rglob("*"))
    manager = checkpoint.open_reader(saved)
    restored = checkpoint.restore_latest(manager, target(), read_only=True)
    manager.close()
    assert restored is not None
    assert int(restored.state.step) == 2
    assert sorted(saved.rglob("*")) == before


def test_a_state_of_any_model_is_restored_by_the_names_of_its_arrays(saved: pathlib.Path) -> None:
    manager = checkpoint.open_reader(saved)
    restored = checkpoint.restore_latest(manager, None, read_only=True)
    manager.close()
    assert restored is not None
    kernel = restored.state["params"]["dense"]["kernel"]
    np.testing.assert_array_equal(kernel, new_state(3).params["dense"]["kernel"])
    assert kernel.dtype == jnp.float32
    assert bits(restored.state) == bits(new_state(3))


def test_a_folder_has_steps_once_one_is_whole(saved: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert checkpoint.has_steps(saved)
    assert not checkpoint.has_steps(tmp_path / "none")
    for step in ("2", "3"):
        (saved / step).rename(saved / f"{step}.orbax-checkpoint-tmp")
    assert not checkpoint.has_steps(saved)
