"""The account of a run: metrics of step after step, added up into rows."""

import contextlib
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from mobilenet_v2.errors import DataError, DivergenceError
from mobilenet_v2.training import metrics
from mobilenet_v2.training.setup import Setup
from mobilenet_v2.training.writers import Writers


class Ledger:
    """Adds up the metrics since the last row, reading each step's one step late so that the device never waits."""

    def __init__(self, setup: Setup, writers: Writers, sums: metrics.Sums, unreadable: float):
        self.sums, self.unreadable = sums, unreadable
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

    def enter(self, step: int, sums: dict[str, jax.Array]) -> None:
        """Takes a step's metrics, still being computed, and settles those of the step before."""
        self.settle()
        self._pending = (step, sums)

    def settle(self) -> None:
        """Waits for the metrics taken last, checks them, and writes a row where one is due.

        Raises:
          DivergenceError: if the step was not finite; it changed nothing.
          DataError: if too many images could not be decoded.
        """
        if self._pending is None:
            return
        (step, pending), self._pending = self._pending, None
        self.sums = metrics.add(self.sums, jax.device_get(pending))
        if self.sums["nonfinite"]:
            raise DivergenceError(
                f"loss, gradient or result of step {step} is not finite; it was not applied, and no checkpoint holds "
                "it. A lower config.optimizer.learning_rate or more warmup_epochs, in a new workdir, may help"
            )
        self._writers.advance(step)
        self._last_row = self._last_row or (step, time.monotonic())
        if step % self._setup.config.train.log_every == 0 or step == self._setup.total_steps:
            self._write_row(step)

    def _write_row(self, step: int) -> None:
        sums, config = self.sums, self._setup.config
        self.unreadable += sums["unreadable"]
        # A share of an epoch at least: one image in the first rows is no high share yet.
        seen = max(step * config.train.batch_size, len(self._setup.splits["train"]))
        if self.unreadable > config.data.max_unreadable * seen:
            raise DataError(
                f"{self.unreadable:.0f} training images can't be decoded, must be at most a share of "
                f"{config.data.max_unreadable} (config.data.max_unreadable) of {seen}"
            )
        row = metrics.means(sums) | {
            **{name: sums[name] / sums["steps"] for name in ("gradient_norm", "parameter_norm", "update_norm")},
            "learning_rate": float(jnp.asarray(self._setup.schedule(step - 1))),
            "unreadable": sums["unreadable"],
        }
        self._writers.write("train", step, **row)
        text = f"loss {row['loss']:.4f}  accuracy {row['accuracy']:.2%}"
        self._tell(step, text)
        self.sums, self._last_row, self._waited = {}, (step, time.monotonic()), 0.0

    def _tell(self, step: int, text: str) -> None:
        last_step, last_time = self._last_row or (step, 0.0)
        if step == last_step:
            self._writers.tell(step, text)
            return
        seconds = (time.monotonic() - last_time) / (step - last_step)
        speed = self._setup.config.train.batch_size / seconds
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
