"""What a network costs, as a table in a notebook."""

import html
import io
from typing import Any

from rich.console import Console

from mobilenet_v2 import reporting
from mobilenet_v2.models import cost
from mobilenet_v2.serving.numbers import whole_number


class Summary:
    """Shows itself as a table: HTML in Jupyter, text elsewhere. `cost` has the numbers."""

    def __init__(self, counted: cost.Cost):
        self.cost = counted

    def __str__(self) -> str:
        stream = io.StringIO()
        # In Jupyter Rich would show the table there and then, and colour it for a terminal.
        console = Console(file=stream, width=120, force_jupyter=False, force_terminal=False)
        reporting.print_cost(self.cost, console)
        return stream.getvalue()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in reporting.COST_COLUMNS)
        rows = reporting.cost_rows(self.cost)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def summarize(model: Any, image_size: int | None = None, channels: int = 3) -> Summary:
    """Parameters, multiply-adds and memory of each block, for one image.

    A kB is 1000 bytes, of activations of the network's `dtype`: float32 unless it says otherwise.

    Args:
      image_size: pixels a side; None: as its weights' images are, or 224.
      channels: of the image.

    Raises:
      ValueError: if a number is no integer ≥ 1.

    >>> import mobilenet_v2 as mnv2
    >>> mnv2.summarize(mnv2.create_model("mobilenet_v2")).cost.parameters
    3504872
    """
    whole_number("channels", channels, least=1)
    made_for = model.provenance.preprocessing if model.provenance else None
    if image_size is None:
        image_size = made_for.crop_size if made_for else 224
    return Summary(cost.count(model, whole_number("image_size", image_size, least=1), channels))
