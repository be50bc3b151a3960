"""Loggers of libraries that say in lines of their own what is told once, or is meant so."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def errors_alone(logger: str) -> Iterator[None]:
    """Within, the logger of this name tells errors and nothing less; afterwards its level is what it was."""
    found = logging.getLogger(logger)
    level = found.level
    found.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        found.setLevel(level)
