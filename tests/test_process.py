import pathlib
import resource
import subprocess
import sys

import pytest

from mobilenet_v2 import process

REPOSITORY = pathlib.Path(__file__).parents[1]

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
process.restart_on_fast_malloc()
sys.exit(process.execute(command, sys.argv))
"""

# Says how often it was started, by a file that every start lengthens, and with which arguments.
STARTS = """
import sys
from mobilenet_v2 import process
assert "jax" not in sys.modules
with open(sys.argv[1], "a") as file:
    file.write("started\\n")
process.restart_on_fast_malloc()
sys.exit(process.execute(lambda argv: print(*argv[2:], len(open(argv[1]).readlines())), sys.argv))
"""


def python(script: str, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, env={"PATH": "", **environment}, check=True, capture_output=True, text=True
    ).stdout


def page_faults(*flags: str, **environment: str) -> int:
    return int(python(FAULTS, *flags, **environment))


@pytest.mark.skipif(not process.fast_malloc(), reason="needs mimalloc, on Linux")
def test_a_command_keeps_freed_memory_unless_told_otherwise() -> None:
    block = (64 << 20) // resource.getpagesize()
    kept = page_faults()
    assert page_faults("--default_malloc") - kept > 10 * block
    assert page_faults("-default_malloc=True") - kept > 10 * block
    assert page_faults(MALLOC_ARENA_TEST="8") - kept > 10 * block


@pytest.mark.skipif(not process.fast_malloc(), reason="needs mimalloc, on Linux")
def test_a_command_starts_again_once_with_the_same_arguments(tmp_path: pathlib.Path) -> None:
    assert python(STARTS, str(tmp_path / "again"), "--flag", "a b") == "--flag a b 2\n"
    assert python(STARTS, str(tmp_path / "told"), "--flag", LD_PRELOAD="") == "--flag 1\n"


@pytest.mark.skipif(not process.fast_malloc(), reason="needs mimalloc, on Linux")
def test_what_the_environment_says_of_mimalloc_stands() -> None:
    script = (
        "import os\n"
        "from mobilenet_v2 import process\n"
        "process.restart_on_fast_malloc()\n"
        "print(os.environ['MIMALLOC_PURGE_DELAY'], 'mimalloc' in open('/proc/self/maps').read())\n"
    )
    assert python(script, MIMALLOC_PURGE_DELAY="7") == "7 True\n"


def test_a_process_that_lost_what_was_preloaded_does_not_start_again_for_ever(tmp_path: pathlib.Path) -> None:
    script = "import os\nos.environ.pop('LD_PRELOAD', None)\n" + STARTS
    assert python(script, str(tmp_path / "starts"), "--flag").split()[-1] in "12"


def test_importing_the_library_neither_imports_jax_nor_starts_anything_again() -> None:
    python("import sys, mobilenet_v2, mobilenet_v2.process\nassert 'jax' not in sys.modules\n")


def test_a_command_called_from_a_process_of_others_never_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.os, "execve", lambda *arguments: pytest.fail("replaced the process of the tests"))
    assert process.execute(lambda argv: None, ["train.py"]) == 0


def test_a_command_goes_on_where_it_may_not_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError

    monkeypatch.setattr(process.os, "environ", {})
    monkeypatch.setattr(process.os, "execve", refuse)
    process.restart_on_fast_malloc()


def test_ctrl_c_while_jax_is_imported_is_one_line() -> None:
    script = (
        "import sys\n"
        "from mobilenet_v2 import process\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'jax':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.exit(process.execute(lambda argv: None, ['train.py']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_keep_their_malloc(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.sys, "platform", platform)
    assert process.fast_malloc() == {}


def test_without_mimalloc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise process.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(process.importlib.metadata, "files", missing)
    assert process.fast_malloc() == {}


@pytest.mark.parametrize("folder", ["my project", "a:b"])
def test_a_folder_that_the_loader_would_cut_in_two_is_left_alone(
    folder: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / folder / "libmimalloc.so"
    library.parent.mkdir()
    library.touch()

    class File:
        name = "libmimalloc.so"

        def locate(self) -> pathlib.Path:
            return library

    monkeypatch.setattr(process.importlib.metadata, "files", lambda name: [File()])
    assert process.fast_malloc() == {}


def test_the_exit_status_is_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert process.execute(lambda argv: print(argv[1]), ["train.py", "--flag"]) == 0
    assert capsys.readouterr().out == "--flag\n"


def test_a_data_worker_has_the_pipeline_without_jax() -> None:
    program = (
        "import sys\n"
        "from mobilenet_v2 import process\n"
        "process.be_a_data_worker()\n"
        "from mobilenet_v2.data import pipeline, sources\n"
        "assert sys.modules['jax'] is None\n"
        "sys.exit(any(name.startswith(('jax.', 'jaxlib', 'flax', 'tensorflow.')) for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Says what a process that the command starts, as Grain starts its own, has for JAX before it does anything.
WORKER = """
import concurrent.futures, multiprocessing, runpy, sys
from mobilenet_v2 import process
def execute(command, argv):
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        print(pool.submit(eval, "__import__('sys').modules.get('jax', 'to be imported')").result())
process.execute = execute
"""
INSTALLED = "from mobilenet_v2.__main__ import console\nif __name__ == '__main__':\n    sys.exit(console())\n"


@pytest.mark.parametrize(
    "start",
    [
        INSTALLED,
        "runpy.run_module('mobilenet_v2', run_name='__main__', alter_sys=True)\n",
        "runpy.run_path('train.py', run_name='__main__')\n",
    ],
    ids=["mobilenet-v2", "-m mobilenet_v2", "train.py"],
)
def test_however_a_command_is_started_its_data_workers_do_without_jax(start: str) -> None:
    assert python(WORKER + start, LD_PRELOAD="") == "None\n"
