"""Figures of a sweep, and how they become files and parts of a page.

What is drawn with an id carries a title in SVG, which the page shows beside the pointer.
"""

import io
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from mobilenet_v2.ablation.curve_figure import learning_curves
from mobilenet_v2.ablation.figure_style import STYLE, Titles
from mobilenet_v2.ablation.point_figures import by_cost, by_x
from mobilenet_v2.ablation.results import Results

_SVG = "{http://www.w3.org/2000/svg}"


def draw(results: Results) -> dict[str, tuple[Figure, Titles]]:
    """Each figure by name, and the titles of its points and curves by their ids in SVG."""
    with mpl.rc_context(STYLE):
        figures = {"accuracy": by_x(results)}
        if len({point["multiply_adds"] for point in results.finished}) > 1:
            figures["accuracy_by_multiply_adds"] = by_cost(results)
        figures["learning_curves"] = learning_curves(results)
    return figures


def save(figure: Figure, kind: str) -> bytes:
    """The bytes of a "png", "pdf" or "svg" file, the same each time."""
    dates = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    stream = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(stream, format=kind, dpi=200, metadata=dates[kind])
    return stream.getvalue()


def svg_with_titles(figure: Figure, titles: Titles) -> str:
    """The figure as an SVG element for a page."""
    ElementTree.register_namespace("", _SVG.strip("{}"))
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(save(figure, "svg"))
    for element in root.iter():
        if (title := titles.get(element.get("id", ""))) is not None:
            child = ElementTree.Element(f"{_SVG}title")
            child.text = title
            element.insert(0, child)
    return ElementTree.tostring(root, encoding="unicode")
