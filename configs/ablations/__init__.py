"""Sweeps: each file's `get_config(base)` is what is varied, `sweep(config)` how.

`base` is the name of a config in `configs/`, or the path of a config file, and stands behind a colon:
`--config=configs/ablations/width.py:image_folder`.
"""

import importlib
import importlib.util
import pathlib

from ml_collections import ConfigDict


def at_size(config: ConfigDict, size: int) -> dict[str, int]:
    """Overrides for images of another size; where evaluation scales to a larger one and cuts, that grows alike."""
    first = config.data.resize_size
    return {"data.image_size": size} | (
        {} if first is None else {"data.resize_size": round(first * size / config.data.image_size)}
    )


def base_config(base: str) -> ConfigDict:
    """The config of `configs/BASE.py`, or of the file `base` where it ends in .py.

    Raises:
      ValueError: if there is none.
    """
    if base.endswith(".py"):
        spec = importlib.util.spec_from_file_location("base_config", base) if pathlib.Path(base).is_file() else None
        if spec is None or spec.loader is None:
            raise ValueError(f"the base of a sweep is {base!r}, which is no file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.get_config()
    names = sorted(path.stem for path in pathlib.Path(__file__).parents[1].glob("[!_]*.py"))
    if base not in names:
        raise ValueError(
            f"the base of a sweep is {base!r}, must be one of {', '.join(names)}, or a file that ends in .py"
        )
    return importlib.import_module(f"configs.{base}").get_config()
