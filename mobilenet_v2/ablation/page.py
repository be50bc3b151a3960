"""Table and figures of a sweep as one page, which needs nothing else: a click on a header sorts."""

import html
from collections.abc import Mapping

from mobilenet_v2.ablation import table
from mobilenet_v2.ablation.results import Results

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #111; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ccc; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; white-space: normal; }
th button { font: inherit; font-weight: 600; border: 0; background: none; cursor: pointer; padding: 0; }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
tbody tr:hover { background: #eef4fb; }
svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
"""

_SCRIPT = """
const key = text => { const found = text.replace(/,/g, "").match(/^[+-]?[0-9.]+/); return found ? +found[0] : null; };
document.querySelectorAll("th").forEach((head, column) => head.firstChild.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending", body = document.querySelector("tbody");
  document.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = row => row.cells[column].textContent, rows = [...body.rows];
  rows.sort((a, b) => {
    const x = key(text(a)), y = key(text(b));
    if ((x === null) !== (y === null)) return x === null ? 1 : -1;
    const order = x === null ? text(a).localeCompare(text(b), undefined, {numeric: true}) : x - y;
    return down ? -order : order;
  });
  body.append(...rows);
}));
"""


def page(results: Results, svgs: Mapping[str, str]) -> str:
    """The page's text; `svgs` are figures by name."""
    question = html.escape(results.sweep["question"])
    heads = "".join(f"<th scope=col><button>{html.escape(text)}</button></th>" for text in table.HEADERS)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        for cells in table.table_rows(results)
    )
    notes = "\n".join(f"<p>{html.escape(text).replace('**', '')}</p>" for text in table.notes(results))
    figures = "\n".join(f"<figure id={name}>{svg}</figure>" for name, svg in svgs.items())
    return f"""<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>{question}</title><link rel=icon href=data:,><style>{_STYLE}</style>
<h1>{question}</h1>
<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>
{rows}
</tbody></table></div>
{notes}
{figures}
<script>{_SCRIPT}</script></html>
"""
