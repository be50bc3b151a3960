import os
import signal
import threading

import pytest

from mobilenet_v2.training.interruption import interruption


def test_the_first_ctrl_c_asks_and_the_second_insists(capfd: pytest.CaptureFixture[str]) -> None:
    with interruption() as requested:
        assert not requested.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert requested.wait(5)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert "once more to stop at once" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    entered = []

    def work() -> None:
        with interruption() as requested:
            entered.append(requested.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [False]
