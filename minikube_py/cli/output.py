"""What commands print: server-side tables, YAML, JSON and names, as kubectl prints them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

Obj = dict[str, Any]


def table(rows: Sequence[Sequence[str]], widths: list[int] | None = None) -> str:
    """Rows (the header first) in columns three spaces apart. `widths` grows to fit, for tables that go on."""
    widths = widths if widths is not None else []
    for row in rows:
        widths.extend([0] * (len(row) - len(widths)))
        for number, cell in enumerate(row):
            widths[number] = max(widths[number], len(cell))
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows
    )


def columns(answer: Obj, *, wide: bool) -> list[tuple[int, str]]:
    """(index, heading) of the columns of a Table that are shown."""
    return [
        (number, column["name"].upper())
        for number, column in enumerate(answer["columnDefinitions"])
        if wide or column.get("priority", 0) == 0
    ]


def cells(row: Obj, shown: Iterable[tuple[int, str]]) -> list[str]:
    """The shown cells of a Table row as text."""
    return ["<none>" if row["cells"][n] is None else str(row["cells"][n]) for n, _ in shown]


def as_json(value: Any) -> str:
    return json.dumps(value, indent=4, sort_keys=True)


def as_yaml(value: Any) -> str:
    from minikube_py.meta import yaml  # PyYAML is imported only where YAML is asked for

    return yaml.dump(value).rstrip("\n")
