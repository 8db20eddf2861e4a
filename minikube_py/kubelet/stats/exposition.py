"""Metric families and the text format of Prometheus in which the kubelet's server shows them. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from minikube_py.aio.metrics import Metric as Family

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

    def lines(self) -> Iterator[str]:
        """HELP, TYPE and the samples; nothing where there are none."""
        behind = f" {self.at}" if self.at else ""
        texts = [f"{self.name}{braced(labels)} {number(value)}{behind}" for labels, value in self.samples]
        if texts:
            yield from (f"# HELP {self.name} {self.help}", f"# TYPE {self.name} {self.type}", *texts)


def render(metrics: Iterable[Metric]) -> str:
    """The text exposition format; a family without samples is left out."""
    return "\n".join([*chain.from_iterable(metric.lines() for metric in metrics), ""])


def page(families: Iterable[Family]) -> str:
    """The families in the order of their names, those without samples left out."""
    texts = [list(family.lines()) for family in families]
    known = sorted((lines for lines in texts if len(lines) > 2), key=lambda lines: lines[0].split(" ")[2])
    return "\n".join([*chain.from_iterable(known), ""])


def number(value: float) -> str:
    """A sample's value as Prometheus reads it."""
    if math.isfinite(value):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def braced(labels: Labels) -> str:
    """Labels in the order of their names, as they stand behind a series' name."""
    inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in sorted(labels.items()))
    return f"{{{inside}}}" if inside else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
