import ctypes
import pathlib
import resource
import subprocess
import sys

import pytest

from mobilenet_v2 import process

REPOSITORY = pathlib.Path(__file__).parents[1]
GLIBC = hasattr(ctypes.CDLL(None), "mallopt")

# Takes and frees 64 MB again and again, as a training step does, in a thread that is not the main one, as XLA does.
FAULTS = """
import ctypes, resource, sys, threading
from mobilenet_v2 import process
malloc = ctypes.CDLL(None)
malloc.malloc.restype, malloc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def take_and_free():
    for _ in range(20):
        block = malloc.malloc(64 << 20)
        ctypes.memset(block, 1, 64 << 20)
        malloc.free(block)
def command(argv):
    worker = threading.Thread(target=take_and_free)
    worker.start()
    worker.join()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
sys.exit(process.execute(command, sys.argv))
"""


def page_faults(*flags: str, **environment: str) -> int:
    command = [sys.executable, "-c", FAULTS, *flags]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={"PATH": "", **environment}, check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not GLIBC, reason="needs glibc's malloc")
def test_a_command_keeps_freed_memory_unless_told_otherwise() -> None:
    block = (64 << 20) // resource.getpagesize()
    kept = page_faults()
    assert page_faults("--default_malloc") - kept > 10 * block
    assert page_faults("-default_malloc=True") - kept > 10 * block
    assert page_faults(MALLOC_ARENA_TEST="8") - kept > 10 * block


def test_importing_the_library_leaves_malloc_alone_and_commands_set_it_before_jax_is_imported() -> None:
    script = (
        "import sys, mobilenet_v2, mobilenet_v2.process as process\n"
        "assert 'jax' not in sys.modules\n"
        "process.keep_freed_memory = lambda: print('kept', 'jax' in sys.modules)\n"
        "process.execute(lambda argv: None, ['train.py'])\n"
        "process.execute(lambda argv: None, ['train.py', '--default_malloc'])\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=REPOSITORY, env={"PATH": ""}, check=True, capture_output=True, text=True)
    assert done.stdout == "kept False\n"


def test_where_there_is_no_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: object())
    assert process.keep_freed_memory() is False


def test_the_exit_status_is_the_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "keep_freed_memory", lambda: True)
    assert process.execute(lambda argv: print(argv[1]), ["train.py", "--flag"]) == 0
    assert capsys.readouterr().out == "--flag\n"
