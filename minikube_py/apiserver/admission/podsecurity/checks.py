"""What a check of a pod is, and the words that checks have in common."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from minikube_py.meta.objects import Obj, containers_of


class Offence(NamedTuple):
    """Why a pod does not pass: the reason, and which of its parts."""

    reason: str
    detail: str


Judge = Callable[[Obj], Offence | None]
"""A function of a pod, or of a pod template: its metadata and spec."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check with its versions: the first minor of v1 in which each judge applies, rising."""

    id: str
    versions: tuple[tuple[int, Judge], ...]
    overrides: str = ""
    """The check of the level below that it takes the place of."""

    def judge(self, minor: int) -> Judge | None:
        """The judge of a version, or None where the check came later."""
        found = None
        for first, judge in self.versions:
            if first <= minor:
                found = judge
        return found


def spec_of(pod: Obj) -> Obj:
    """The pod's spec."""
    spec: Obj = pod.get("spec") or {}
    return spec


def security(holder: Obj) -> Obj:
    """The securityContext of a pod spec or of a container."""
    found: Obj = holder.get("securityContext") or {}
    return found


def secured(pod: Obj) -> Iterator[tuple[str, Obj]]:
    """The name and the securityContext of each container: init, ordinary, ephemeral."""
    for container in containers_of(spec_of(pod)):
        yield container.get("name", ""), security(container)


def is_windows(pod: Obj) -> bool:
    """Whether the pod says that it runs on Windows, where Linux's settings mean nothing."""
    return (spec_of(pod).get("os") or {}).get("name") == "windows"


def unless_windows(judge: Judge) -> Judge:
    """The judge, for all but Windows pods."""
    return lambda pod: None if is_windows(pod) else judge(pod)


def quoted(items: Iterable[str]) -> str:
    """`"a", "b"`."""
    return '"' + '", "'.join(items) + '"'


def plural(number: int, one: str, many: str = "") -> str:
    """The word for one or for many."""
    return one if number == 1 else many or f"{one}s"


def containers(names: Collection[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{plural(len(names), 'container')} {quoted(names)}"


def setters(pod_too: bool, names: Collection[str]) -> str:
    """`pod and containers "a", "b"`: who sets something; empty where nobody does."""
    return " and ".join([*(["pod"] if pod_too else []), *([containers(names)] if names else [])])
