"""PyTorch's `.pth` files: pickles, and therefore read by torch's restricted unpickler only."""

import pathlib
import re
import zipfile
from typing import Any

import numpy as np

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.arrays import MAX_BYTES, Arrays, Budget

# Where training scripts put the weights, averaged ones first: timm, torchvision's references, others.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")


def read(path: pathlib.Path) -> Arrays:
    """The state dict's floating-point tensors. `module.` and `_orig_mod.` before the names are dropped.

    Raises:
      WeightsError: if torch is not installed, or the file holds anything but tensors in dicts.
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"{path.name!r} is a PyTorch pickle, which only torch can read safely, and torch is not installed; where "
            "it is, save it as safetensors: safetensors.torch.save_file(torch.load(FILE, weights_only=True), OUTPUT)"
        ) from error
    _check_archive(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many types, from the unpickler and from torch's own reader
        raise WeightsError(
            f"{path.name!r} is no whole PyTorch file of tensors alone, as its safe reader wants it: {_reason(error)}. "
            "Where you trust it, save its state dict alone, best as safetensors"
        ) from error
    return _to_numpy(path, _state_dict(path, loaded))


def _reason(error: Exception) -> str:
    """What torch found, without its advice to load it unsafely."""
    text = " ".join(str(error).split())
    found = re.search(r"(Unsupported global: GLOBAL [\w.]+|Unsupported operand \d+|Unsupported class [\w.]+)", text)
    return found[1] if found else type(error).__name__ if "weights_only" in text else text[:150]


def _check_archive(path: pathlib.Path) -> None:
    """Torch stores tensors uncompressed; an archive that inflates is not from torch."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path.name!r} is no whole zip archive: {error}") from error
    if total > min(MAX_BYTES, 2 * path.stat().st_size):
        raise WeightsError(
            f"{path.name!r} inflates from {path.stat().st_size} to {total} bytes, as no weight file does"
        )


def _state_dict(path: pathlib.Path, loaded: Any) -> dict[str, Any]:
    for key in _NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise WeightsError(f"{path.name!r} holds a {type(loaded).__name__}, must hold a state dict of tensors by name")
    return {_bare(name): value for name, value in loaded.items()}


def _bare(name: str) -> str:
    """Without what DistributedDataParallel and torch.compile put before it."""
    for prefix in ("module.", "_orig_mod.", "module."):
        name = name.removeprefix(prefix)
    return name


def _to_numpy(path: pathlib.Path, state: dict[str, Any]) -> Arrays:
    import torch

    budget, arrays = Budget(path.name), {}
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or not tensor.is_floating_point():
            continue
        if tensor.device.type != "cpu":
            raise WeightsError(f"{path.name!r} holds {name!r} without its values, on device {tensor.device}")
        # A tensor's shape may be larger than what it is stored in: strides may be 0. Narrow ones are widened.
        budget.claim(name, tuple(tensor.shape), max(4, tensor.element_size()))
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise WeightsError(
                f"{path.name!r} claims {name!r} of shape {tuple(tensor.shape)}, of which it stores "
                f"{tensor.untyped_storage().nbytes()} bytes"
            )
        plain = tensor.detach().resolve_neg()
        wide = plain if plain.dtype in (torch.float32, torch.float64) else plain.float()
        arrays[name] = np.array(wide.numpy())
    return arrays
