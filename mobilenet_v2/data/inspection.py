"""A look at the data before training: a sheet of pictures with their classes, and how many each class has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw, ImageFont

from mobilenet_v2.data.sources import Dataset
from mobilenet_v2.errors import DataError

_CELL = 128  # pixels: smaller pictures are enlarged by a whole factor, so that a label has room
_TEXT = 18  # pixels of a line below a picture
_GAP = 4
_RED = (220, 0, 0)


def sheet(examples: dict[str, np.ndarray], class_names: Sequence[str]) -> Image.Image:
    """Pictures in rows, as many as columns, each with its class below; those that can't be read framed in red.

    Args:
      examples: image uint8 [N, H, W, C], label int32 [N], mask float32 [N]; and where pictures are mixed partner_label
        int32 [N] and own_share float32 [N]: below a mixture stand both classes with their shares.
      class_names: by label.
    """
    images_NxHxWxC = examples["image"]
    count, side = len(images_NxHxWxC), images_NxHxWxC.shape[1]
    captions = [_caption(examples, index, class_names) for index in range(count)]
    below = _TEXT * max(map(len, captions))
    cell = side * max(1, -(-_CELL // side))
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    size = (columns * (cell + _GAP) + _GAP, rows * (cell + below + _GAP) + _GAP)
    result = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(result), ImageFont.load_default(size=_TEXT - 6)
    for index, image_HxWxC in enumerate(images_NxHxWxC):
        row, column = divmod(index, columns)
        left, top = _GAP + column * (cell + _GAP), _GAP + row * (cell + below + _GAP)
        picture = Image.fromarray(np.broadcast_to(image_HxWxC, (*image_HxWxC.shape[:2], 3)))
        result.paste(picture.resize((cell, cell), Image.Resampling.NEAREST), (left, top))
        readable = bool(examples["mask"][index])
        if not readable:
            draw.rectangle((left, top, left + cell - 1, top + cell - 1), outline=_RED, width=3)
        for line, text in enumerate(captions[index]):
            place = (left, top + cell + 2 + line * _TEXT)
            draw.text(place, _fitted(text, font, cell), fill="black" if readable else _RED, font=font)
    return result


def _caption(examples: dict[str, np.ndarray], index: int, class_names: Sequence[str]) -> list[str]:
    """The lines below a picture: its class; or both of a mixture, shares first, which a long name does not push out."""
    if not examples["mask"][index]:
        return ["unreadable"]
    own, share = class_names[examples["label"][index]], float(examples.get("own_share", np.ones(index + 1))[index])
    if share == 1:
        return [own]
    percent = round(100 * share)
    return [f"{percent}% {own}", f"{100 - percent}% {class_names[examples['partner_label'][index]]}"]


def _fitted(text: str, font: Any, width: int) -> str:
    """`text`, cut where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def class_counts(dataset: Dataset, config: ConfigDict) -> dict[str, list[int]]:
    """Examples of each class, by use ("train", "validation" and, where the config has one, "test").

    Reads every record of the splits, some 8,000 a second, without decoding a picture.

    Raises:
      DataError: if a split has no labels: TFDS says −1 where a test set keeps them secret.
    """
    expressions = {use: config.data[f"{use}_split"] for use in ("train", "validation", "test")}
    counts = {}
    for use, expression in expressions.items():
        if expression is None:
            continue
        source = dataset.split(expression)
        labels = np.array([source[index]["label"] for index in range(len(source))])
        if labels.min() < 0:
            raise DataError(
                f"split {expression!r} of data set {config.data.name!r} has label {labels.min()} for "
                f"{(labels < 0).sum()} of {len(labels)} examples, which names no class: it can't be trained on"
            )
        counts[use] = np.bincount(labels, minlength=dataset.num_classes).tolist()
    return counts


def warnings(counts: dict[str, list[int]], examples: dict[str, np.ndarray], class_names: Sequence[str]) -> list[str]:
    """What a person should know before training: classes without examples, pictures that can't be read."""
    found = []
    for use, numbers in counts.items():
        absent = [name for name, number in zip(class_names, numbers, strict=True) if not number]
        if absent:
            more = f" and {len(absent) - 3} others" if len(absent) > 3 else ""
            found.append(f"{use} has no example of class {', '.join(map(repr, absent[:3]))}{more}")
    if unreadable := int((examples["mask"] == 0).sum()):
        found.append(f"{unreadable} of the {len(examples['mask'])} pictures on the sheet can't be read")
    return found
