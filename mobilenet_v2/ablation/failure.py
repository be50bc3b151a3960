"""Why a run ended without a result: its status and its last lines, in a file beside its folder."""

import pathlib

from mobilenet_v2.training.disk import write_atomically

_LAST_LINES = 20


def note(error: pathlib.Path, status: int, log: pathlib.Path) -> None:
    """Writes `error`, which `report` shows, of what the run said."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    write_atomically(error, f"ended with status {status}\n" + "\n".join(lines[-_LAST_LINES:]) + "\n")
