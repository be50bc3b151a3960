import contextlib
import os
import signal
import threading

import pytest

from mobilenet_v2.errors import Preempted
from mobilenet_v2.training import preemption
from mobilenet_v2.training.preemption import stop_request, stopped


def test_the_first_ctrl_c_asks_and_the_second_insists(capfd: pytest.CaptureFixture[str]) -> None:
    with stop_request() as request:
        assert request.at(1) == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert request.at(2) == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert "once more to stop at once" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_scheduler_may_repeat_itself(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with stop_request() as request:
        for _ in range(3):
            os.kill(os.getpid(), number)
        assert request.at(1) == number
    assert capfd.readouterr().err.count("stops after this step, with a checkpoint") == 1
    assert signal.getsignal(number) is before


def test_of_several_processes_none_stops_before_all_have_agreed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preemption.jax, "process_count", lambda: 2)
    with stop_request(agree_every=7) as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.at(8) == 0
    assert capfd.readouterr().err == "\nstops with all processes, within 7 steps, with a checkpoint\n"


def test_a_person_may_stop_what_a_scheduler_is_stopping() -> None:
    with stop_request() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.at(1) == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_who_insists_is_heard_at_the_next_step_where_the_exception_was_dropped() -> None:
    with stop_request() as request:
        os.kill(os.getpid(), signal.SIGINT)
        with contextlib.suppress(KeyboardInterrupt):  # as a callback of JAX's does
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            request.at(1)


def test_a_scheduler_gets_a_status_upon_which_it_starts_the_run_again_and_a_person_does_not() -> None:
    assert isinstance(stopped(signal.SIGINT, 7), KeyboardInterrupt)
    told = stopped(signal.SIGTERM, 7)
    assert isinstance(told, Preempted)
    assert told.exit_status == 75
    assert str(told) == "interrupted at step 7; the same command goes on from there"


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    entered = []

    def work() -> None:
        with stop_request() as request:
            entered.append(request.at(1))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [0]
