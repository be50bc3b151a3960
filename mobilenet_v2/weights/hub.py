"""Weight files of the HuggingFace hub: fetched once, kept in its cache, by a revision that can be pinned."""

import pathlib
import re
import socket
import urllib.parse
import urllib.request
from typing import NamedTuple

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.quiet import errors_alone

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE = "model.safetensors"
# They say what images must be like, and, of HuggingFace's own networks, what the arrays don't.
_BESIDE = ("config.json", "preprocessor_config.json")


class Fetched(NamedTuple):
    """A file in the cache and the commit that it is of."""

    path: pathlib.Path
    commit: str


def is_name(name: str) -> bool:
    """Whether `name` could be a hub's OWNER/NAME."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def fetch(name: str, revision: str | None = None, cache_dir: str | None = None, offline: bool = False) -> Fetched:
    """`model.safetensors` of the repository `name`, with the files that describe it beside it, of the same commit.

    A repository need not have those. Offline they are as the cache holds them: a snapshot without them is taken as it
    is. Otherwise a network without them would be another, so that whatever keeps them from being fetched is an error.

    Args:
      revision: a branch, tag or commit; the default branch if None.
      cache_dir: where files are kept; the hub's usual cache if None.
      offline: only what the cache holds, as with HF_HUB_OFFLINE=1 in the environment.

    Raises:
      WeightsError: if there is no such repository, revision or file, or the hub can't be reached.
    """
    import huggingface_hub
    from huggingface_hub import constants, errors

    try:
        path = _download(name, _FILE, revision, cache_dir, offline)
    except errors.LocalEntryNotFoundError as error:
        raise WeightsError(
            f"weights {name!r}{_at(revision)} are no file here and not in the hub's cache, and {_why(error, offline)}. "
            "Give the path of a weight file, or the folder of a run"
        ) from error
    except errors.EntryNotFoundError as error:
        raise WeightsError(
            f"weights {name!r}{_at(revision)} have no {_FILE}, the only kind of file that is fetched"
        ) from error
    commit = path.parent.name
    for beside in _BESIDE:
        known = huggingface_hub.try_to_load_from_cache(name, beside, cache_dir=cache_dir, revision=commit)
        if known is not None:
            continue  # here, or known not to be in the repository
        try:
            _download(name, beside, commit, cache_dir, offline)
        except errors.LocalEntryNotFoundError as error:
            if not (offline or constants.HF_HUB_OFFLINE):
                raise WeightsError(
                    f"weights {name!r}{_at(revision)} are here, but the hub can't be asked for their {beside}; offline "
                    "what the cache holds is taken"
                ) from error
        except errors.EntryNotFoundError:
            pass
    return Fetched(path, commit)


def _download(name: str, file: str, revision: str | None, cache_dir: str | None, offline: bool) -> pathlib.Path:
    """Raises `EntryNotFoundError` where there is no such file, and `WeightsError` for all else."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        with errors_alone("huggingface_hub.utils._http"):  # which tells of every attempt, twice
            return pathlib.Path(
                huggingface_hub.hf_hub_download(
                    name,
                    file,
                    revision=revision,
                    cache_dir=cache_dir,
                    local_files_only=offline or _unknown_host() is not None,
                )
            )
    except errors.EntryNotFoundError:
        raise
    except errors.RevisionNotFoundError as error:
        raise WeightsError(f"weights {name!r} have no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(
            f"weights {name!r} are no file here and no repository of the hub that may be read"
        ) from error
    except Exception as error:  # of many types, from the hub's client and the HTTP library under it
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(f"{file} of weights {name!r}{_at(revision)} can't be fetched: {reason}") from error


def _host() -> str:
    from huggingface_hub import constants

    return urllib.parse.urlsplit(constants.ENDPOINT).hostname or constants.ENDPOINT


def _unknown_host() -> str | None:
    """Why nobody knows the hub's address; None where somebody does, or a proxy is asked for it.

    The hub's client would ask for half a minute before it says so.
    """
    if urllib.request.getproxies():
        return None
    try:
        socket.getaddrinfo(_host(), 443)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _why(error: BaseException, offline: bool) -> str:
    """Why the hub was not asked, or did not answer `error`."""
    from huggingface_hub import constants

    if offline or constants.HF_HUB_OFFLINE:
        return f"{'offline' if offline else 'HF_HUB_OFFLINE'} forbids to ask it"
    cause = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    said = _unknown_host() or getattr(cause, "strerror", None) or " ".join(str(cause).split())[:200]
    return f"{_host()} can't be reached ({said})"


def _at(revision: str | None) -> str:
    return f" at revision {revision!r}" if revision else ""
