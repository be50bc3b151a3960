"""Checkpoints with Orbax: asynchronous, atomic, and with checksums of our own.

A step holds the state, whose step count is the position in the data as well: all arrays of a dtype in one vector, since
Orbax takes 2 ms for each array, of which there are 800. And, as JSON, the metric sums since the last row, the config,
and of every array its name, shape and CRC-32, for Orbax restores a flipped bit without a word; the JSON has a CRC-32 of
its own. Arrays are saved whole, and so restored on any number of processes and devices.

Of several processes, which share the folder, each calls every function here at the same place. Each reads a checkpoint
by itself, because a read that fails in one of them would leave the others waiting; then they agree.
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import sys
import zlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import unflatten_dict
from orbax.checkpoint.checkpoint_managers import preservation_policy, save_decision_policy

from mobilenet_v2.errors import CheckpointError
from mobilenet_v2.quiet import errors_alone
from mobilenet_v2.training import disk, packing
from mobilenet_v2.training.processes import agreed, first_of, gather_bytes, is_first, together
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
    """A manager that changes nothing, beside a run that is still writing, say, and waits for no other process."""
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"alone_{me}"
    )
    options = ocp.CheckpointManagerOptions(
        read_only=True, save_interval_steps=0, create=False, multiprocessing_options=alone
    )
    with errors_alone("absl"):  # it would warn that it only reads
        return ocp.CheckpointManager(folder.absolute(), item_handlers=_item_handlers(alone), options=options)


def save(manager: ocp.CheckpointManager, state: TrainState, extra: dict[str, Any]) -> None:
    """Copies the state to the host, then writes in the background; the state may be donated at once.

    A step that is already saved is left alone.

    Raises:
      WorkdirError, TransientError: if the disk doesn't take it, or did not take the one before.
    """
    step = int(state.step)
    if manager.latest_step() == step:
        return
    vectors, listed = packing.pack(state), packing.listed(state)
    arrays = packing.unpack(vectors, listed)
    extra = {
        **extra,
        "arrays": {name: one | {"crc32": packing.crc32(arrays[name])} for name, one in listed.items()},
    }
    with disk.told(pathlib.Path(manager.directory)):
        extra["crc32"] = _crc32(extra)
        packed = ocp.args.StandardSave(vectors)
        manager.save(step, args=ocp.args.Composite(state=packed, extra=ocp.args.JsonSave(extra)))


def wait(manager: ocp.CheckpointManager) -> None:
    """Until what was saved last is on the disk.

    Raises:
      WorkdirError, TransientError: if the disk doesn't take it.
    """
    with disk.told(pathlib.Path(manager.directory)):
        manager.wait_until_finished()


def close(manager: ocp.CheckpointManager) -> None:
    """Lets go of it, once what was saved last is on the disk.

    Raises:
      WorkdirError, TransientError: if the disk doesn't take it.
    """
    with disk.told(pathlib.Path(manager.directory)):
        manager.close()


def has_steps(folder: pathlib.Path) -> bool:
    """Whether there is any checkpoint to go on from, whole or not."""
    return folder.is_dir() and any(path.name.isdecimal() for path in folder.iterdir())


def restore_latest(
    manager: ocp.CheckpointManager, target: TrainState | None, *, read_only: bool = False
) -> Restored | None:
    """The newest checkpoint that is whole, as `target` describes its arrays; None if there is no checkpoint.

    Without `target` a state of any model is restored, as nested dictionaries of NumPy arrays.

    A damaged one is said aloud on stderr and, unless `read_only`, moved aside; the one before it is taken.

    Raises:
      CheckpointError: if a checkpoint is of another model, or none is whole.
    """
    damaged: list[int] = []
    steps = first_of(sorted(manager.all_steps(), reverse=True))
    for step in steps:
        restored = _restore_alike(manager, step, target)
        if isinstance(restored, str):
            if is_first():
                goes_on = "; trying the one before" if step != steps[-1] else ""
                print(f"checkpoint {step} is damaged ({restored}){goes_on}", file=sys.stderr)
            damaged.append(step)
            continue
        # Only now: where nothing can be read, the fault may be the disk's, and the next start must find it all.
        if damaged and not read_only:
            together(lambda: [_move_aside(manager, bad) for bad in damaged if is_first()])
            manager.reload()
        return restored
    if damaged:
        raise agreed(
            CheckpointError(
                f"none of the checkpoints in {manager.directory} can be read: {damaged}; they are left as they are. "
                "Where the disk is not at fault put a copy in their place, or start anew in another workdir"
            )
        )
    return None


def _restore_alike(manager: ocp.CheckpointManager, step: int, target: TrainState | None) -> Restored | str:
    """Restores one step in all processes, or in none, and then says what is damaged; each reads without the others."""

    def read() -> tuple[dict[str, np.ndarray], dict[str, Any]] | str:
        try:
            with contextlib.closing(open_reader(pathlib.Path(manager.directory))) as reader:
                return _read(reader, step, target)
        except (CheckpointError, MemoryError):
            raise
        except Exception as error:  # Orbax and TensorStore raise a dozen types for damaged files
            return _reason(error)

    found = together(read)
    # Not by an exception: that of a process which is gone is no word on files.
    damage = [text.decode() for text in gather_bytes(found.encode() if isinstance(found, str) else b"") if text]
    if damage or isinstance(found, str):
        return damage[0]
    arrays, extra = found
    return Restored(_placed(arrays, target), extra)


def _read(
    manager: ocp.CheckpointManager, step: int, target: TrainState | None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name, and the JSON that was saved with them.

    Raises:
      CheckpointError: if they are not those of `target`.
      ValueError: if one, or the JSON, has another checksum than it had.
    """
    extra = manager.restore(step, args=ocp.args.Composite(extra=ocp.args.JsonRestore()))["extra"]
    if extra.pop("crc32", None) != _crc32(extra):
        raise ValueError("checksum of its JSON is wrong")
    listed = extra.pop("arrays")
    if target is not None:
        _check_model(manager, step, listed, target)
    target_vectors = ocp.args.StandardRestore(packing.empty_vectors(listed))
    packed = manager.restore(step, args=ocp.args.Composite(state=target_vectors))["state"]
    arrays = packing.unpack(packed, listed)
    wrong = [name for name, array in arrays.items() if packing.crc32(array) != listed[name]["crc32"]]
    if wrong:
        raise ValueError(f"checksum of {wrong[0]} and {len(wrong) - 1} other arrays is wrong")
    return arrays, extra


def _check_model(manager: ocp.CheckpointManager, step: int, listed: dict[str, Any], target: TrainState) -> None:
    have = {name: f"{one['dtype']}{one['shape']}" for name, one in listed.items()}
    want = {name: "{dtype}{shape}".format(**one) for name, one in packing.listed(target).items()}
    differing = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
    if differing:
        name = differing[0]
        raise CheckpointError(
            f"checkpoint {step} in {manager.directory} is of another model: {len(differing)} arrays differ, first "
            f"{name}: {have.get(name, 'absent')} there, {want.get(name, 'absent')} in this config"
        )


def _placed(arrays: dict[str, np.ndarray], target: TrainState | None) -> Any:
    """The arrays where `target` has them; without it, as nested dictionaries in this process's memory."""
    if target is None:
        return unflatten_dict({tuple(name.split("/")): array for name, array in arrays.items()})

    def place(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> jax.Array:
        whole = arrays[packing.name_of(path)]
        return jax.make_array_from_callback(whole.shape, leaf.sharding, lambda index: whole[index])

    return jax.tree_util.tree_map_with_path(place, target)


def _crc32(extra: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(extra, sort_keys=True).encode())


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _item_handlers(processes: ocp.options.MultiprocessingOptions | None = None) -> dict[str, ocp.CheckpointHandler]:
    options = {"multiprocessing_options": processes or ocp.options.MultiprocessingOptions()}
    return {"state": ocp.StandardCheckpointHandler(**options), "extra": ocp.JsonCheckpointHandler(**options)}


def _move_aside(manager: ocp.CheckpointManager, step: int) -> None:
    folder = pathlib.Path(manager.directory) / str(step)
    aside = folder.with_name(f"{step}.damaged")
    shutil.rmtree(aside, ignore_errors=True)  # of an earlier time
    folder.rename(aside)
