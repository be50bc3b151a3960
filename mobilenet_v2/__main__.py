"""`python -m mobilenet_v2 COMMAND`: finds the command, also installed as `mobilenet-v2`."""

import importlib
import sys

from mobilenet_v2 import process
from mobilenet_v2.errors import ConfigError, nearest

COMMANDS = {
    "train": "trains a config's network, as train.py does",
    "ablate": "trains every point of a sweep with several seeds",
    "report": "table and figures of what ablate has trained",
    "summary": "parameters, multiply-adds and memory of a config's network, per block",
    "evaluate": "accuracy of a run's newest checkpoint",
    "predict": "what pictures show, by trained weights",
    "demo": "a page in the browser that shows what a network makes of a picture",
    "prepare": "a config's data set, made ready for training, and what it holds",
    "inspect_data": "a sheet of training pictures as the network sees them, and the classes' counts",
    "import_weights": "published weights of another code base as a file of ours, or of ours under its names",
    "export": "a trained network as a file for other programs: StableHLO, ONNX, TensorFlow Lite, 8 bits",
    "export_sweep": "what 8 bits, or another file, cost each point of a sweep in accuracy",
}


def dispatch(argv: list[str]) -> None:
    """Runs the command that `argv[1]` names with the arguments after it.

    Raises:
      ConfigError: if there is no such command.
    """
    listing = "\n".join(f"  {name:16}{what}" for name, what in COMMANDS.items())
    if argv[1:2] in ([], ["--help"], ["-h"]):
        print(f"python -m mobilenet_v2 COMMAND [flags]\n\n{listing}\n\nCOMMAND --help shows its flags.")
        return
    name = argv[1]
    if name not in COMMANDS:
        raise ConfigError(f"no command {name!r}; commands are {', '.join(COMMANDS)}{nearest(name, COMMANDS)}")
    importlib.import_module(f"mobilenet_v2.commands.{name}").main(argv[1:])


def main() -> int:
    """Runs `sys.argv` in this process; returns the exit status."""
    return process.execute(dispatch, sys.argv)


def console() -> int:
    """Entry point of a process that is nothing but this command."""
    process.restart_on_fast_malloc()
    process.start_others_from(__file__)
    return main()


# `console` sees to it that this is run, however the command was started.
if __name__ == "__mp_main__":
    process.be_a_data_worker()

if __name__ == "__main__":
    sys.exit(console())
