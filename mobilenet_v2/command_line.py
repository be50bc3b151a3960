"""What all commands share: flags into values, one-line errors, quiet libraries, the compilation cache."""

import contextlib
import io
import logging
import os
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

import jax
from absl import flags
from absl import logging as absl_logging
from ml_collections import ConfigDict, config_flags

from mobilenet_v2.config import flatten
from mobilenet_v2.config_fields import FIELDS
from mobilenet_v2.errors import ConfigError, Preempted, UserError, nearest
from mobilenet_v2.process import DEFAULT_MALLOC

# Modules of `requirements-train.txt`, which an installation may be without.
_OF_TRAINING = (
    "array_record",
    "grain",
    "matplotlib",
    "optax",
    "sklearn",
    "scipy",
    "tensorboardX",
    "tensorflow_datasets",
)

MOST_PIXELS = 100_000  # a side, of what a flag may ask for


def execute(command: Callable[[list[str]], None], argv: Sequence[str]) -> int:
    """Runs `command(argv)` and returns the process's exit status.

    A `UserError` becomes one line on stderr and status 2, `Preempted` one and status 75; anything else is a bug and
    keeps its traceback.
    """
    absl_logging.set_verbosity(absl_logging.FATAL)  # Orbax logs each error of its threads before it raises it
    logging.getLogger("jax").setLevel(logging.ERROR)
    _use_compilation_cache()
    try:
        command(list(argv))
    except UserError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return error.exit_status
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _OF_TRAINING:
            raise
        print(
            f"error: needs {error.name}, which the extra 'train' installs: pip install '.[train]' in the repository",
            file=sys.stderr,
        )
        return UserError.exit_status
    except Preempted as told:
        print(told, file=sys.stderr)
        return told.exit_status
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted", file=sys.stderr)
        return 130
    return 0


def parse(
    argv: Sequence[str],
    description: str,
    *,
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
    switches: Sequence[str] = (),
    words: list[str] | None = None,
) -> flags.FlagValues:
    """Parses flags into values of their own: nothing global is read or set.

    Args:
      argv: program name and arguments.
      description: shown by `--help`, before the flags.
      required: names of flags that must be given: "config", a file that any field is overridden of as
        `--config.section.field=value`; others are text.
      optional: names of flags of text that are None unless given.
      switches: names of flags that are False unless given.
      words: gets what is no flag; None where there may be no such thing.

    Raises:
      ConfigError: for a flag that is unknown, missing or can't be what it is given.
    """
    if {"--help", "-h", "-help"} & set(argv[1:]):
        print(f"{description}\n\nflags: {_usage(required, switches, optional)}")
        raise SystemExit(0)
    argv = config_first(argv)
    path = _config_path(argv) if "config" in required else None
    if path and not pathlib.Path(path.split(":", 1)[0]).is_file():
        raise ConfigError(f"--config is {path!r}, must be a Python file that exists and defines get_config()")
    argv, unset = _without_nones(argv)
    values = _define(argv, required, switches, optional)
    rest = _read(values, argv, [*required, *optional, *switches, DEFAULT_MALLOC])
    if words is not None:
        words.extend(rest)
    elif rest:
        raise ConfigError(f"unexpected argument {rest[0]!r}; flags are {_usage(required, switches, optional)}")
    for name in required:
        if not values[name].value:
            raise ConfigError(f"flag --{name} is missing; flags are {_usage(required, switches, optional)}")
    if "config" in required and not isinstance(values.config, ConfigDict):
        found = type(values.config).__name__
        raise ConfigError(f"--config is {path!r}, whose get_config() must return a ConfigDict, not {found}")
    for name in unset:
        values.config.update_from_flattened_dict({name: None})
    return values


def integer(name: str, text: str | None, most: int, least: int = 1) -> int | None:
    """What a flag of text says where it must be an integer in `least` … `most`; None where it was not given.

    Raises:
      ConfigError: if it is anything else.
    """
    if text is None:
        return None
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ConfigError(f"--{name} is {text!r}, must be an integer in {least} … {most}")
    return int(text)


def config_first(argv: Sequence[str]) -> list[str]:
    """The arguments with `--config` before its overrides, as absl must have them, and as a person need not know.

    Raises:
      ConfigError: if it is given more than once.
    """
    first, others, rest = [], [], list(argv[1:])
    while rest and rest[0] != "--":
        word = rest.pop(0)
        if word.partition("=")[0] not in ("--config", "-config"):
            others.append(word)
            continue
        if first:
            file = first[-1].rpartition("=")[2]
            raise ConfigError(f"--config is given twice, as {file!r} and again; must be once")
        first += [word] if "=" in word else [word, *rest[:1]]
        rest = rest if "=" in word else rest[1:]
    return [*argv[:1], *first, *others, *rest]


def _define(
    argv: Sequence[str], required: Sequence[str], switches: Sequence[str], optional: Sequence[str]
) -> flags.FlagValues:
    values = flags.FlagValues()
    for name in (*required, *optional):
        if name == "config":
            config_flags.DEFINE_config_file("config", None, "config file", flag_values=values, sys_argv=list(argv))
        else:
            flags.DEFINE_string(name, None, f"{name} of the run", flag_values=values)
    for name in switches:
        flags.DEFINE_bool(name, False, name, flag_values=values)
    # Acted upon before this, in `process.restart_on_fast_malloc`.
    flags.DEFINE_bool(DEFAULT_MALLOC, False, "leave malloc as it is", flag_values=values)
    return values


def _read(values: flags.FlagValues, argv: Sequence[str], known: Sequence[str]) -> list[str]:
    """Parses `argv` into `values` and returns what is no flag; absl's errors as ours."""
    try:
        # The config file is read here; what it prints, absl's own usage text say, is not for our one line.
        with contextlib.redirect_stderr(io.StringIO()):
            return values(list(argv))[1:]
    except flags.UnrecognizedFlagError as error:
        listing = ", ".join(f"--{name}" for name in known)
        hint = nearest(error.flagname, known)
        raise ConfigError(f"unknown flag --{error.flagname}, must be one of {listing}{hint}") from error
    except flags.Error as error:
        raise ConfigError(_flag_error(str(error))) from error
    except (AttributeError, IndexError, KeyError) as error:
        message = _override_error(argv, error)
        if message is None:
            raise
        raise ConfigError(message) from error


def _without_nones(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Takes out the overrides `--config.FIELD=None` of fields that may be None: absl would take it for text."""
    overrides = {f"--config.{name}=None": name for name, field in FIELDS.items() if field.accepts(None)}
    joined = list(argv)
    for index, argument in enumerate(joined[:-1]):
        if f"{argument}=None" in overrides and joined[index + 1] == "None":
            joined[index : index + 2] = [f"{argument}=None", ""]
    return [a for a in joined if a and a not in overrides], [overrides[a] for a in joined if a in overrides]


def _usage(required: Sequence[str], switches: Sequence[str], optional: Sequence[str] = ()) -> str:
    needed, text = (f"--{name}=…" for name in required), (f"[--{name}=…]" for name in optional)
    return " ".join([*needed, *text, *(f"[--{name}]" for name in (*switches, DEFAULT_MALLOC))])


def _config_path(argv: Sequence[str]) -> str | None:
    """What `--config=FILE` or `--config FILE` names."""
    for argument, following in zip(argv, [*argv[1:], None], strict=True):
        name, equals, value = argument.partition("=")
        if name in ("--config", "-config"):
            return value if equals else following
    return None


def _flag_error(message: str) -> str:
    """Says what a field may be, where absl says which of Python's functions did not take its value."""
    found = re.match(r"flag --config\.([\w.]+)=(.*?): ", message, re.DOTALL)
    if found is None or found[1] not in FIELDS:
        return message
    return f"config.{found[1]} is {found[2]!r}, must be {FIELDS[found[1]].allowed}"


def _override_error(argv: Sequence[str], error: Exception) -> str | None:
    """Names the override that the config has no field for, with the nearest field; None if there is no such one."""
    path = _config_path(argv)
    if "has no attribute 'get_config'" in str(error):
        return f"--config is {path!r}, must be a Python file that defines get_config()"
    bare = flags.FlagValues()
    config_flags.DEFINE_config_file("config", path, flag_values=bare, sys_argv=[argv[0]])
    bare([argv[0]])
    known = [name for name, _ in flatten(bare.config)]
    for argument in argv:
        name = argument.removeprefix("--config.").split("=", 1)[0]
        if argument.startswith("--config.") and name not in known:
            return f"config has no field {name!r}{nearest(name, known)}"
    return None


def _use_compilation_cache() -> None:
    """Compiled programs are kept under the user's cache directory, so that the second start is quick."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "mobilenet_v2" / "jax"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
