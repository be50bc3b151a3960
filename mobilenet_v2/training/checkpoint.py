"""Checkpoints with Orbax: asynchronous, atomic, and with checksums of our own.

A step holds the state, whose step count is the position in the data as well; and, as JSON, the metric sums since the
last row, the config, and a CRC-32 of every array, for Orbax restores a flipped bit without a word.

Of several processes, which share the folder, each calls every function here at the same place. The first reads a
checkpoint alone before all do, because a read that fails in one of them would leave the others waiting.
"""

import contextlib
import dataclasses
import pathlib
import re
import shutil
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy, save_decision_policy

from mobilenet_v2.errors import CheckpointError
from mobilenet_v2.training.processes import agreed, first_of, is_first, together
from mobilenet_v2.training.state import TrainState

# In what TensorStore says of a disk that is full, or can't be written.
_OF_STORAGE = re.compile(
    "space left|quota|read-only|permission denied|input/output error|file too large", re.IGNORECASE
)


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
    """A manager that changes nothing, beside a run that is still writing, say, and waits for no other process."""
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"alone_{me}"
    )
    options = ocp.CheckpointManagerOptions(read_only=True, create=False, multiprocessing_options=alone)
    return ocp.CheckpointManager(folder.absolute(), item_handlers=_item_handlers(alone), options=options)


def save(manager: ocp.CheckpointManager, state: TrainState, extra: dict[str, Any]) -> None:
    """Copies the state to the host, then writes in the background; the state may be donated at once.

    A step that is already saved is left alone.

    Raises:
      CheckpointError: if the disk doesn't take it, or did not take the one before.
    """
    step = int(state.step)
    if manager.latest_step() == step:
        return
    with _told_of_full_disks(manager):
        extra = {**extra, "checksums": checksums(state)}
        manager.save(step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), extra=ocp.args.JsonSave(extra)))


def wait(manager: ocp.CheckpointManager) -> None:
    """Until what was saved last is on the disk.

    Raises:
      CheckpointError: if the disk doesn't take it.
    """
    with _told_of_full_disks(manager):
        manager.wait_until_finished()


@contextlib.contextmanager
def _told_of_full_disks(manager: ocp.CheckpointManager) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # OSError, and what TensorStore makes of it
        reason = _reason(error)
        if not isinstance(error, OSError) and not _OF_STORAGE.search(str(error)):
            raise
        raise CheckpointError(
            f"a checkpoint can't be written to {str(manager.directory)!r} ({reason}); those before are as they were, "
            "and the same command goes on from the newest"
        ) from error


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
    for step in first_of(sorted(manager.all_steps(), reverse=True)):
        try:
            restored = _restore_alike(manager, step, target)
        except (CheckpointError, MemoryError):
            raise
        except Exception as error:  # Orbax and TensorStore raise a dozen types for damaged files
            if is_first():
                print(f"checkpoint {step} is damaged ({_reason(error)}); trying the one before", file=sys.stderr)
            damaged.append(step)
            continue
        # Only now: where nothing can be read, the fault may be the disk's, and the next start must find it all.
        if damaged and not read_only:
            together(lambda: [_move_aside(manager, bad) for bad in damaged if is_first()])
            manager.reload()
        return restored
    if damaged:
        raise agreed(CheckpointError(f"none of the checkpoints in {manager.directory} can be read: {damaged}"))
    return None


def _restore_alike(manager: ocp.CheckpointManager, step: int, target: TrainState | None) -> Restored:
    """Restores one step, in all processes or in none."""
    if jax.process_count() > 1:
        together(lambda: _read_alone(pathlib.Path(manager.directory), step, target) if is_first() else None)
    elif target is not None:
        _check_model(manager, step, target)
    return together(lambda: _restore(manager, step, _as_it_is(manager, step) if target is None else target))


def _read_alone(folder: pathlib.Path, step: int, target: TrainState | None) -> None:
    with contextlib.closing(open_reader(folder)) as reader:
        if target is not None:
            _check_model(reader, step, target)
        _restore(reader, step, _as_it_is(reader, step))


def checksums(state: Any) -> dict[str, int]:
    """CRC-32 of each whole array's bytes, by its path; of one that is split over processes, too."""
    return {name: zlib.crc32(array.reshape(-1).view(np.uint8).data) for name, array in named_arrays(state).items()}


def named_arrays(state: Any) -> dict[str, np.ndarray]:
    """Each whole array on the host, by its path; of one that is split over processes, too."""
    return {_name(path): _whole(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def _whole(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.ascontiguousarray(jax.device_get(leaf))


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _item_handlers(processes: ocp.options.MultiprocessingOptions | None = None) -> dict[str, ocp.CheckpointHandler]:
    options = {"multiprocessing_options": processes or ocp.options.MultiprocessingOptions()}
    return {"state": ocp.StandardCheckpointHandler(**options), "extra": ocp.JsonCheckpointHandler(**options)}


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
