"""What a namespace asks of its pods: a level and a version to enforce, to audit by, and to warn of."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from minikube_py.errors import Cause
from minikube_py.meta.violations import invalid

PREFIX = "pod-security.kubernetes.io/"
PRIVILEGED, BASELINE, RESTRICTED = LEVELS = ("privileged", "baseline", "restricted")
MODES = ("enforce", "audit", "warn")
LATEST = 1_000_000
"""The version (1.<minor>) that is later than all."""
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)
_LABELS = tuple(label for mode in MODES for label in (f"{PREFIX}{mode}", f"{PREFIX}{mode}-version"))


class Standard(NamedTuple):
    """A level of the standards as of a version."""

    level: str = PRIVILEGED
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"


class Policy(NamedTuple):
    """What applies in a namespace; `faults` tells of labels that mean nothing."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()
    faults: tuple[Cause, ...] = ()

    @property
    def permits_all(self) -> bool:
        """Whether no mode asks for anything."""
        return self.enforce.level == self.audit.level == self.warn.level == PRIVILEGED and not self.faults


def policy_of(labels: Mapping[str, str]) -> Policy:
    """The policy that a namespace's labels ask for. What cannot be read is enforced as `restricted`, and
    neither audited nor warned of."""
    return _policy(tuple(labels.get(label) for label in _LABELS))


@lru_cache(maxsize=1024)
def _policy(values: tuple[str | None, ...]) -> Policy:
    faults: list[Cause] = []
    found: dict[str, Standard] = {}
    for index, mode in enumerate(MODES):
        level = _level(mode, values[2 * index], faults)
        found[mode] = Standard(level, _minor(mode, values[2 * index + 1], faults))
    enforce, warn = found["enforce"], found["warn"]
    if values[4] is None and values[0] is not None and LEVELS.index(enforce.level) > LEVELS.index(warn.level):
        found["warn"] = Standard(enforce.level, enforce.minor if values[5] is None else warn.minor)
    return Policy(enforce, found["audit"], found["warn"], tuple(faults))


def _level(mode: str, value: str | None, faults: list[Cause]) -> str:
    if value is None or value in LEVELS:
        return value or PRIVILEGED
    faults.append(invalid(f"metadata.labels[{PREFIX}{mode}]", value, f"must be one of {', '.join(LEVELS)}"))
    return RESTRICTED if mode == "enforce" else PRIVILEGED


def _minor(mode: str, value: str | None, faults: list[Cause]) -> int:
    if value is None or value == "latest":
        return LATEST
    if match := _VERSION.fullmatch(value):
        return min(int(match[1][:7]), LATEST - 1)
    faults.append(invalid(f"metadata.labels[{PREFIX}{mode}-version]", value, 'must be "latest" or "v1.x"'))
    return LATEST
