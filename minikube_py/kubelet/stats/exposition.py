"""Metric families and the text format of Prometheus in which the kubelet's server shows them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family: its samples are (labels, value). `at`: when they were read (milliseconds since the
    epoch), 0 where that goes without saying."""

    name: str
    type: str
    help: str
    samples: Iterable[tuple[Labels, float]]
    at: int = 0


def render(metrics: Iterable[Metric]) -> str:
    """The text exposition format; a family without samples is left out."""
    lines: list[str] = []
    for metric in metrics:
        behind = f" {metric.at}" if metric.at else ""
        samples = [f"{metric.name}{_inside(labels)} {value:.17g}{behind}" for labels, value in metric.samples]
        if samples:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.type}", *samples]
    return "\n".join([*lines, ""])


def _inside(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
