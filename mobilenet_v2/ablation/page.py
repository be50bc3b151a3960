"""Table and figures of a sweep as one page, which needs nothing else: headers sort, points say what they are."""

import html
import re
from collections.abc import Mapping

from mobilenet_v2.ablation import table
from mobilenet_v2.ablation.notes import notes
from mobilenet_v2.ablation.results import Results

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; color: #111; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .4rem; border-bottom: 1px solid #ccc; text-align: right; white-space: nowrap; }
th { vertical-align: bottom; white-space: normal; }
th:nth-child(-n+2), td:nth-child(-n+2), th:nth-last-child(-n+2), td:nth-last-child(-n+2) { text-align: left; }
td:last-child { white-space: normal; min-width: 7rem; }
td:nth-child(2) { font-size: 11px; }
th button { font: inherit; font-weight: 600; border: 0; background: none; cursor: pointer; padding: 0; }
th button { text-align: inherit; }
th button::after { content: "\\a0↕"; color: #767676; }
th[aria-sort=ascending] button::after { content: "\\a0▲"; color: inherit; }
th[aria-sort=descending] button::after { content: "\\a0▼"; color: inherit; }
tbody tr:hover { background: #eef4fb; }
p { max-width: 60rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
figure { margin: 0; break-inside: avoid; }
figure svg { max-width: 100%; height: auto; }
#tip { position: fixed; pointer-events: none; background: #111; color: #fff; font-size: 13px; padding: .2rem .5rem;
  border-radius: 3px; max-width: 24rem; }
.wide { overflow-x: auto; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { margin: 0; padding: 0; max-width: none; font-size: 10pt; } table { font-size: 7.5pt; }
  td:nth-child(2) { font-size: 6.5pt; }
  th, td { padding: 1pt 4pt; } tr { break-inside: avoid; } .wide { overflow: visible; } .figures { display: block; }
  th button::after { content: "" !important; }
}
"""

_SCRIPT = """
const key = text => {
  const found = text.replace(/,/g, "").match(/^[+-]?[0-9]+([.][0-9]+)?(?![^ ])/);
  return found ? +found[0] : null;
};
document.querySelectorAll("th").forEach((head, column) => head.firstChild.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending", body = document.querySelector("tbody");
  document.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = row => row.cells[column].textContent, rows = [...body.rows];
  const empty = row => ["", "—", "baseline"].includes(text(row));
  rows.sort((a, b) => {
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    const x = key(text(a)), y = key(text(b));
    if ((x === null) !== (y === null)) return x === null ? 1 : -1;
    const order = x === null ? text(a).localeCompare(text(b), undefined, {numeric: true}) : x - y;
    return down ? -order : order;
  });
  body.append(...rows);
}));
const tip = document.getElementById("tip");
document.querySelectorAll("figure g > title").forEach(title => {
  const shape = title.parentNode, text = title.textContent;
  shape.setAttribute("aria-label", text);
  title.remove();  // or the browser shows it a second time
  shape.addEventListener("pointermove", event => {
    tip.textContent = text;
    tip.hidden = false;
    tip.style.left = Math.max(0, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4)) + "px";
    tip.style.top = Math.max(0, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4)) + "px";
  });
  shape.addEventListener("pointerleave", () => { tip.hidden = true; });
});
"""


def page(results: Results, svgs: Mapping[str, str]) -> str:
    """The page's text; `svgs` are figures by name."""
    question = html.escape(results.sweep["question"])
    heads = "".join(f"<th scope=col><button>{_head(text)}</button></th>" for text in table.headers(results))
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in cells) + "</tr>" for cells in table.table_rows(results)
    )
    paragraphs = "\n".join(f"<p>{_paragraph(text)}</p>" for text in notes(results))
    figures = "\n".join(f"<figure id={name}>{svg}</figure>" for name, svg in svgs.items())
    return f"""<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>{question}</title><link rel=icon href=data:,><style>{_STYLE}</style>
<h1>{question}</h1>
<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>
{rows}
</tbody></table></div>
{paragraphs}
<div class=figures>{figures}</div>
<div id=tip role=status hidden></div>
<script>{_SCRIPT}</script></html>
"""


def _head(text: str) -> str:
    """A number and its unit stay on one line."""
    return html.escape(text).replace(" %", "&nbsp;%")


def _cell(text: str) -> str:
    return html.escape(text).replace(table.FIELDS_APART, "<br>")


def _paragraph(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text))
