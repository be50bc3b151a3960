import csv
from typing import Any

from benchmarks import export


def told(name: str, network_ms: float, difference: float) -> dict[str, Any]:
    """What `export` says of one file."""
    comparison = {"pictures": "9 of 9", "max_difference": difference, "largest_logit": 7.0, "agreement": 0.5}
    cost = {
        "file": {"bytes": 1000, "milliseconds_on_one_core": 2.0},
        "network": {"bytes": 4000, "milliseconds_on_one_core": network_ms},
    }
    return {"format": name, "comparison": {**comparison, "accuracy": 0.25, "source_accuracy": 0.75}, "cost": cost}


def test_a_table_has_the_network_and_a_row_a_format() -> None:
    rows = export.rows_of([told("onnx", 3.0, 1e-6), told("onnx_int8", 9.0, 0.5), told("tflite", 5.0, 1e-6)])
    assert [row["format"] for row in rows] == ["network", "onnx", "onnx_int8", "tflite"]
    assert (rows[0]["milliseconds"], rows[0]["bytes"], rows[0]["accuracy"], rows[0]["agreement"]) == (
        5.0,
        4000,
        0.75,
        1,
    )
    read = list(csv.DictReader(export.csv_text(rows).splitlines()))
    assert (read[2]["max_difference"], read[2]["accuracy"]) == ("0.5", "0.25")
    lines = export.markdown(rows).splitlines()
    assert lines[4] == "| onnx_int8 | 1,000 | 2.00 | 25.00% | 50.00% | 0.5 |"
    assert lines[-1] == "On 9 of 9; logits of at most 7."
