"""Weight files of the HuggingFace hub: fetched once, kept in its cache, by a revision that can be pinned."""

import contextlib
import pathlib
import re
from typing import NamedTuple

from mobilenet_v2.errors import WeightsError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE = "model.safetensors"


class Fetched(NamedTuple):
    """A file in the cache and the commit that it is of."""

    path: pathlib.Path
    commit: str


def is_name(name: str) -> bool:
    """Whether `name` could be a hub's OWNER/NAME."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def fetch(name: str, revision: str | None = None, cache_dir: str | None = None, offline: bool = False) -> Fetched:
    """`model.safetensors` of the repository `name`, with the files that describe it beside it.

    Args:
      revision: a branch, tag or commit; the default branch if None.
      cache_dir: where files are kept; the hub's usual cache if None.
      offline: only what the cache holds, as with HF_HUB_OFFLINE=1 in the environment.

    Raises:
      WeightsError: if there is no such repository, revision or file, or the hub can't be reached.
    """
    import huggingface_hub
    from huggingface_hub import errors

    def download(file: str) -> pathlib.Path:
        return pathlib.Path(
            huggingface_hub.hf_hub_download(
                name, file, revision=revision, cache_dir=cache_dir, local_files_only=offline
            )
        )

    at = f" at revision {revision!r}" if revision else ""
    try:
        path = download(_FILE)
    except errors.LocalEntryNotFoundError as error:
        raise WeightsError(
            f"weights {name!r}{at} are no file here and not in the hub's cache, and the hub can't be asked"
        ) from error
    except errors.EntryNotFoundError as error:
        raise WeightsError(f"weights {name!r}{at} have no {_FILE}, the only kind of file that is fetched") from error
    except errors.RevisionNotFoundError as error:
        raise WeightsError(f"weights {name!r} have no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(
            f"weights {name!r} are no file here and no repository of the hub that may be read"
        ) from error
    except (errors.HFValidationError, errors.HfHubHTTPError, OSError) as error:
        raise WeightsError(f"weights {name!r}{at} can't be fetched: {' '.join(str(error).split())[:200]}") from error
    # They say what images must be like, and, of HuggingFace's own networks, what the arrays don't.
    for beside in ("config.json", "preprocessor_config.json"):
        with contextlib.suppress(errors.EntryNotFoundError, errors.HfHubHTTPError, OSError):
            download(beside)
    return Fetched(path, path.parent.name)
