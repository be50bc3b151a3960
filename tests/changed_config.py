from typing import Any

from ml_collections import ConfigDict

from configs import digits


def changed(name: str, value: Any) -> ConfigDict:
    """The digits config with one field set, whatever its type was."""
    config = digits.get_config()
    *sections, field = name.split(".")
    section = config
    for key in sections:
        section = section[key]
    with section.ignore_type(), section.unlocked():
        section[field] = value
    return config
