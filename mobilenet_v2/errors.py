"""Errors that are the user's to mend: a command prints them as one line and exits with status 2."""

import difflib
from collections.abc import Iterable

from mobilenet_v2.process import USER_ERROR
from mobilenet_v2.signals import TOLD_TO_STOP


class UserError(Exception):
    """Says what is wrong, its value, and what would be right."""

    exit_status = USER_ERROR


class Preempted(Exception):
    """A run was told to stop by a scheduler, and did, with everything saved: the same command goes on."""

    exit_status = TOLD_TO_STOP


class PeerError(Exception):
    """Another process of this run failed."""


class ConfigError(UserError):
    """A field of the config, or a flag, has a value that it may not have."""


class DataError(UserError):
    """A data set is missing, not prepared, or unreadable."""


class UnreadableError(DataError):
    """Some of many pictures can't be read; the others are done."""

    exit_status = 1


class TransientError(UserError):
    """What may pass by itself, a storage that doesn't answer say: the same command goes on from what is saved."""

    exit_status = 1


class WorkdirError(UserError):
    """A run directory can't be used: unwritable, of another config, or of no run."""


class CheckpointError(UserError):
    """A checkpoint can't be restored: damaged, or of another model."""


class WeightsError(UserError):
    """A weight file can't be read, or fits no network of ours: what was expected, what was found."""


class AblationError(UserError):
    """Some runs of a sweep failed; the others are finished."""

    exit_status = 1


class DivergenceError(UserError):
    """The loss or a gradient stopped being finite."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean '…'?` where the last part of a known name is close to that of `name`, else nothing.

    Those of the same section come first. Of names that are not close, one that begins or ends with the words of `name`
    will do: width_multiplier for width.
    """
    section = name.rpartition(".")[0]
    known = sorted(known, key=lambda one: one.rpartition(".")[0] != section)
    last_parts = {one.rpartition(".")[2]: one for one in reversed(known)}
    last = name.rpartition(".")[2]
    close = [last_parts[last]] if last in last_parts else []
    if section not in (one.rpartition(".")[0] for one in known):  # a dot may part other things than sections
        close += difflib.get_close_matches(name, known, n=1)
    close += [last_parts[part] for part in difflib.get_close_matches(last, last_parts, n=1)]
    if last:
        close += [one for part, one in last_parts.items() if part.startswith(f"{last}_") or part.endswith(f"_{last}")]
    return f"; did you mean {close[0]!r}?" if close else ""
