import logging

import pytest

from mobilenet_v2.quiet import errors_alone


def test_a_logger_tells_errors_alone_and_afterwards_what_it_did(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("mobilenet_v2.a_library")
    logger.setLevel(logging.INFO)

    def fail() -> None:
        with errors_alone(logger.name):
            logger.warning("mere noise")
            logger.error("an error")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    logger.info("again")
    assert caplog.messages == ["an error", "again"]


def test_a_logger_that_tells_less_is_left_alone() -> None:
    logger = logging.getLogger("mobilenet_v2.a_library")
    logger.setLevel(logging.CRITICAL)
    with errors_alone(logger.name):
        assert logger.level == logging.CRITICAL
