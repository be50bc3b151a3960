"""The account of a run: metrics of step after step, added up into rows."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mobilenet_v2 import reporting
from mobilenet_v2.errors import DataError, DivergenceError
from mobilenet_v2.training import metrics
from mobilenet_v2.training.setup import Setup
from mobilenet_v2.training.writers import Writers


class Ledger:
    """Adds up the metrics since the last row, reading each step's one step late so that the device never waits.

    Attributes:
      diverged: of each replica the step that was not finite, if there was one. The others go on without it.
    """

    def __init__(
        self,
        setup: Setup,
        writers: Writers,
        sums: Mapping[str, Any],
        unreadable: Any,
        diverged: Sequence[int | None] | None = None,
    ):
        self.sums = metrics.add({}, sums)
        self.unreadable = metrics.number(unreadable)
        self.diverged = list(diverged or [None] * setup.config.replicas)
        self._setup, self._writers = setup, writers
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        # Step and time of the last row; the first step, which compiles, is no measure of speed.
        self._last_row: tuple[int, float] | None = None
        self._waited = 0.0  # seconds since the last row

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measures how long the run waits for data while the context lasts."""
        begin = time.monotonic()
        yield
        self._waited += time.monotonic() - begin

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Settles what is pending; what is done while the context lasts, an evaluation say, is no part of a step."""
        self.settle()
        begin = time.monotonic()
        yield
        if self._last_row is not None:
            step, last = self._last_row
            self._last_row = (step, last + time.monotonic() - begin)

    def enter(self, step: int, sums: dict[str, jax.Array]) -> None:
        """Takes a step's metrics, still being computed, and settles those of the step before."""
        self.settle()
        self._pending = (step, sums)

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        kept = {"sums": metrics.listed(self.sums), **metrics.listed({"unreadable": self.unreadable})}
        return kept if self._setup.config.replicas == 1 else {**kept, "diverged": self.diverged}

    def settle(self) -> None:
        """Waits for the metrics taken last, checks them, and writes a row where one is due.

        Raises:
          DivergenceError: if the step was not finite; it changed nothing. Of several replicas, if none is left.
          DataError: if too many images could not be decoded.
        """
        if self._pending is None:
            return
        (step, pending), self._pending = self._pending, None
        self.sums = metrics.add(self.sums, jax.device_get(pending))
        self._leave_out_diverged(step)
        self._writers.advance(step)
        self._last_row = self._last_row or (step, time.monotonic())
        if step % self._setup.config.train.log_every == 0 or step == self._setup.total_steps:
            self._write_row(step)

    def _leave_out_diverged(self, step: int) -> None:
        for replica in np.flatnonzero(self.sums["nonfinite"]).tolist():
            self._leave_out(replica, step)
        if None not in self.diverged:
            raise DivergenceError(
                f"loss, gradient or result of step {step} is not finite; it was not applied, and no checkpoint holds "
                "it. A lower config.optimizer.learning_rate or more warmup_epochs, in a new workdir, may help"
            )

    def _leave_out(self, replica: int, step: int) -> None:
        if self.diverged[replica] is None:
            self.diverged[replica] = step
            if len(self.diverged) > 1:
                seed = self._setup.config.seed + replica
                self._writers.note(f"step {step} of seed {seed} is not finite: left out from here on")

    def without_diverged(self, values: metrics.Sums, step: int) -> metrics.Sums:
        """`values` of `step`, NaN where they are a replica's that diverged; one that is NaN has done so now.

        Raises:
          DivergenceError: if none is left.
        """
        if len(self.diverged) == 1:
            return values
        for value in values.values():
            for replica in np.flatnonzero(np.isnan(value)).tolist():
                self._leave_out(replica, step)
        if None not in self.diverged:
            raise DivergenceError(f"by step {step} losses, gradients or outputs of all replicas were not finite")
        gone = np.array([step is not None for step in self.diverged])
        return {name: np.where(gone, np.nan, value) for name, value in values.items()}

    def _write_row(self, step: int) -> None:
        sums, config = self.sums, self._setup.config
        self.unreadable = self.unreadable + sums["unreadable"]
        # A share of an epoch at least: one image in the first rows is no high share yet.
        seen = max(step * config.train.batch_size, len(self._setup.splits["train"]))
        unreadable = np.max(self.unreadable)
        if unreadable > config.data.max_unreadable * seen:
            raise DataError(
                f"{unreadable:.0f} training images can't be decoded, must be at most a share of "
                f"{config.data.max_unreadable} (config.data.max_unreadable) of {seen}"
            )
        norms = {name: sums[name] / sums["steps"] for name in ("gradient_norm", "parameter_norm", "update_norm")}
        row = self.without_diverged(metrics.means(sums) | norms, step)
        row["learning_rate"] = float(jnp.asarray(self._setup.schedule(step - 1)))
        row["unreadable"] = sums["unreadable"]
        self._writers.write("train", step, **row)
        shown = metrics.averages(row)
        text = f"loss {shown['loss']:.4f}  accuracy {shown['accuracy']:.2%}"
        self._tell(step, f"{text}{reporting.of_replicas(self.diverged)}")
        self.sums, self._last_row, self._waited = {}, (step, time.monotonic()), 0.0

    def _tell(self, step: int, text: str) -> None:
        last_step, last_time = self._last_row or (step, 0.0)
        if step == last_step:
            self._writers.tell(step, text)
            return
        seconds = (time.monotonic() - last_time) / (step - last_step)
        speed = self._setup.config.train.batch_size * self._setup.config.replicas / seconds
        health = {"images_per_second": speed, "seconds_per_step": seconds}
        health["seconds_waiting_for_data"] = self._waited / (step - last_step)
        if peak := _peak_memory():
            health["device_memory_bytes"] = peak
        self._writers.write("speed", step, **health)
        left = (self._setup.total_steps - step) * seconds
        self._writers.tell(step, f"{text}  {speed:.0f} images/s", seconds_left=left)


def _peak_memory() -> int | None:
    """The most that this process's first device ever held, in bytes; None where it keeps no account, as a CPU."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("peak_bytes_in_use")
