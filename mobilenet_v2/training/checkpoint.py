"""Checkpoints with Orbax: asynchronous, atomic, and with checksums of our own.

A step holds the state, whose step count is the position in the data as well; and, as JSON, the metric sums since the
last row, the config, and a CRC-32 of every array, for Orbax restores a flipped bit without a word.
"""

import dataclasses
import pathlib
import shutil
import sys
import zlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy, save_decision_policy

from mobilenet_v2.errors import CheckpointError
from mobilenet_v2.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Restored:
    """A state, and the JSON that was saved with it."""

    state: Any
    extra: dict[str, Any]


def open_manager(folder: pathlib.Path, keep: int) -> ocp.CheckpointManager:
    """A manager that keeps the `keep` newest steps and clears away what a killed process left half written."""
    return ocp.CheckpointManager(
        folder.absolute(),
        item_handlers=_item_handlers(),
        options=ocp.CheckpointManagerOptions(
            save_decision_policy=save_decision_policy.FixedIntervalPolicy(1),
            preservation_policy=preservation_policy.LatestN(keep),
            cleanup_tmp_directories=True,
            enable_async_checkpointing=True,
        ),
    )


def open_reader(folder: pathlib.Path) -> ocp.CheckpointManager:
    """A manager that changes nothing, beside a run that is still writing, say."""
    options = ocp.CheckpointManagerOptions(read_only=True)
    return ocp.CheckpointManager(folder.absolute(), item_handlers=_item_handlers(), options=options)


def save(manager: ocp.CheckpointManager, state: TrainState, extra: dict[str, Any]) -> None:
    """Copies the state to the host, then writes in the background; the state may be donated at once.

    A step that is already saved is left alone.
    """
    step = int(state.step)
    if manager.latest_step() == step:
        return
    extra = {**extra, "checksums": checksums(state)}
    manager.save(step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), extra=ocp.args.JsonSave(extra)))


def has_steps(folder: pathlib.Path) -> bool:
    """Whether there is any checkpoint to go on from, whole or not."""
    return folder.is_dir() and any(path.name.isdecimal() for path in folder.iterdir())


def restore_latest(
    manager: ocp.CheckpointManager, target: TrainState | None, *, read_only: bool = False
) -> Restored | None:
    """The newest checkpoint that is whole, as `target` describes its arrays; None if there is no checkpoint.

    Without `target` a state of any model is restored, as nested dictionaries in the first device's memory.

    A damaged one is said aloud on stderr and, unless `read_only`, moved aside; the one before it is taken.

    Raises:
      CheckpointError: if a checkpoint is of another model, or none is whole.
    """
    damaged: list[int] = []
    for step in sorted(manager.all_steps(), reverse=True):
        try:
            if target is not None:
                _check_model(manager, step, target)
            restored = _restore(manager, step, _as_it_is(manager, step) if target is None else target)
        except (CheckpointError, MemoryError):
            raise
        except Exception as error:  # Orbax and TensorStore raise a dozen types for damaged files
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"checkpoint {step} is damaged ({reason[:200]}); trying the one before", file=sys.stderr)
            damaged.append(step)
            continue
        # Only now: where nothing can be read, the fault may be the disk's, and the next start must find it all.
        for bad in () if read_only else damaged:
            _move_aside(manager, bad)
        return restored
    if damaged:
        raise CheckpointError(f"none of the checkpoints in {manager.directory} can be read: {damaged}")
    return None


def checksums(state: Any) -> dict[str, int]:
    """CRC-32 of each array's bytes, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(state))
    return {_name(path): zlib.crc32(np.ascontiguousarray(leaf).tobytes()) for path, leaf in leaves}


def _item_handlers() -> dict[str, ocp.CheckpointHandler]:
    return {"state": ocp.StandardCheckpointHandler(), "extra": ocp.JsonCheckpointHandler()}


def _as_it_is(manager: ocp.CheckpointManager, step: int) -> Any:
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    tree = manager.item_metadata(step)["state"].tree
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree)


def _restore(manager: ocp.CheckpointManager, step: int, target: Any) -> Restored:
    args = ocp.args.Composite(state=ocp.args.StandardRestore(target), extra=ocp.args.JsonRestore())
    restored = manager.restore(step, args=args)
    state, extra = restored["state"], restored["extra"]
    expected = extra.pop("checksums")
    found = checksums(state)
    wrong = [name for name in expected if expected[name] != found.get(name)]
    if wrong:
        raise ValueError(f"checksum of {wrong[0]} and {len(wrong) - 1} other arrays is wrong")
    return Restored(state, extra)


def _check_model(manager: ocp.CheckpointManager, step: int, target: TrainState) -> None:
    """Compares names, shapes and dtypes: Orbax would cast a dtype silently, and name no array of a wrong shape."""
    metadata = manager.item_metadata(step)["state"].tree
    have, want = _described(metadata), _described(target)
    differing = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
    if differing:
        name = differing[0]
        raise CheckpointError(
            f"checkpoint {step} in {manager.directory} is of another model: {len(differing)} arrays differ, first "
            f"{name}: {have.get(name, 'absent')} there, {want.get(name, 'absent')} in this config"
        )


def _described(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_name(path): f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for path, leaf in leaves}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _move_aside(manager: ocp.CheckpointManager, step: int) -> None:
    folder = pathlib.Path(manager.directory) / str(step)
    aside = folder.with_name(f"{step}.damaged")
    shutil.rmtree(aside, ignore_errors=True)  # of an earlier time
    folder.rename(aside)
    manager.reload()
