"""JSON files that lie beside weights: small objects, whatever they hold."""

import json
import pathlib
from typing import Any

from mobilenet_v2.errors import WeightsError

# HuggingFace's config.json with the names of 21841 classes takes a tenth of this.
MAX_BYTES = 2**24


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """The object in a file of JSON.

    Raises:
      FileNotFoundError: if there is no such file.
      WeightsError: if it can't be read, is larger than `MAX_BYTES`, not JSON in UTF-8, or no object.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{path.name!r} is {path.stat().st_size} bytes, must be at most {MAX_BYTES}")
        content = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path.name!r} is damaged, must be JSON in UTF-8: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path.name!r} holds a {type(content).__name__}, must hold an object")
    return content
