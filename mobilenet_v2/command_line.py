"""What all commands share: flags into values, one-line errors, quiet libraries, the compilation cache."""

import contextlib
import io
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import jax
from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags

from mobilenet_v2.config import flatten
from mobilenet_v2.errors import ConfigError, UserError, nearest


def execute(command: Callable[[list[str]], None], argv: Sequence[str]) -> int:
    """Runs `command(argv)` and returns the process's exit status.

    A `UserError` becomes one line on stderr and status 2; anything else is a bug and keeps its traceback.
    """
    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("jax").setLevel(logging.ERROR)
    _use_compilation_cache()
    try:
        command(list(argv))
    except UserError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the newest checkpoint", file=sys.stderr)
        return 130
    return 0


def parse(
    argv: Sequence[str], description: str, *, required: Sequence[str] = (), switches: Sequence[str] = ()
) -> flags.FlagValues:
    """Parses flags into values of their own: nothing global is read or set.

    Args:
      argv: program name and arguments.
      description: shown by `--help`, before the flags.
      required: names of flags that must be given: "config", a file that any field is overridden of as
        `--config.section.field=value`; others are text.
      switches: names of flags that are False unless given.

    Raises:
      ConfigError: for a flag that is unknown, missing or can't be what it is given.
    """
    values = flags.FlagValues()
    for name in required:
        if name == "config":
            config_flags.DEFINE_config_file("config", None, "config file", flag_values=values, sys_argv=list(argv))
        else:
            flags.DEFINE_string(name, None, f"{name} of the run", flag_values=values)
    for name in switches:
        flags.DEFINE_bool(name, False, f"print as {name}", flag_values=values)
    if {"--help", "-h", "-help"} & set(argv[1:]):
        print(f"{description}\n\nflags: {_usage(required, switches)}")
        raise SystemExit(0)
    try:
        # The config file is read here; what it prints, absl's own usage text say, is not for our one line.
        with contextlib.redirect_stderr(io.StringIO()):
            rest = values(list(argv))[1:]
    except flags.UnrecognizedFlagError as error:
        known = [*required, *switches]
        raise ConfigError(f"unknown flag --{error.flagname}{nearest(error.flagname, known)}") from error
    except flags.Error as error:
        raise ConfigError(str(error)) from error
    except FileNotFoundError as error:
        raise ConfigError(f"--config can't be read: {error.filename or error} does not exist") from error
    except (AttributeError, KeyError) as error:
        raise ConfigError(_override_error(argv, error)) from error
    if rest:
        raise ConfigError(f"unexpected argument {rest[0]!r}; flags are {_usage(required, switches)}")
    for name in required:
        if not values[name].value:
            raise ConfigError(f"flag --{name} is missing; flags are {_usage(required, switches)}")
    return values


def _usage(required: Sequence[str], switches: Sequence[str]) -> str:
    return " ".join([*(f"--{name}=…" for name in required), *(f"[--{name}]" for name in switches)])


def _override_error(argv: Sequence[str], error: Exception) -> str:
    """Names the override that the config has no field for, with the nearest field."""
    path = next((a.split("=", 1)[1] for a in argv if a.startswith("--config=")), None)
    if path is None:
        return str(error)
    bare = flags.FlagValues()
    config_flags.DEFINE_config_file("config", path, flag_values=bare, sys_argv=[argv[0]])
    bare([argv[0]])
    known = [name for name, _ in flatten(bare.config)]
    for argument in argv:
        name = argument.removeprefix("--config.").split("=", 1)[0]
        if argument.startswith("--config.") and name not in known:
            return f"config has no field {name!r}{nearest(name, known)}"
    return str(error)


def _use_compilation_cache() -> None:
    """Compiled programs are kept under the user's cache directory, so that the second start is quick."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "mobilenet_v2" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
