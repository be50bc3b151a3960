"""What a network costs, as a table in a notebook."""

import html
import io
from typing import Any

from rich.console import Console

from mobilenet_v2 import reporting
from mobilenet_v2.models import cost


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
        shown = [index for index, name in enumerate(reporting.COST_COLUMNS) if name != "output kB"]
        rows = [[row[index] for index in shown] for row in reporting.cost_rows(self.cost)]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in (reporting.COST_COLUMNS[index] for index in shown))
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def summarize(model: Any, image_size: int | None = None, channels: int = 3) -> Summary:
    """Parameters, multiply-adds and memory of each block, for one image.

    Args:
      image_size: pixels a side; None: as its weights' images are, or 224.

    >>> from mobilenet_v2.serving.pretrained import create_model
    >>> summarize(create_model("mobilenet_v2")).cost.parameters
    3504872
    """
    made_for = model.provenance.preprocessing if model.provenance else None
    return Summary(cost.count(model, image_size or (made_for.crop_size if made_for else 224), channels))
