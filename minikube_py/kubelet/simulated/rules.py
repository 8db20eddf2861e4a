"""The rules of a simulated pod: how long it stays in each stage, and how it ends. Pure.

A pod (and, for all its pods, a Node) says them in the annotation `minikube-py.io/simulate`, a JSON object:
`{"delay": "1s", "jitter": "500ms", "ready": "2s", "succeed": "5s", "fail": 0.1, "stop": "1s"}`. What a pod does
not say its node does; every rule may be left out. Chance is drawn from the pod's uid, so that a restarted
process sees the same course of things.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.library.times import parse_duration
from minikube_py.meta.objects import Obj, annotations_of, controller_of, uid_of

RULES = "minikube-py.io/simulate"
DURATIONS = ("delay", "jitter", "ready", "succeed", "stop")


class BadRules(ValueError):
    """An annotation that says no rules; the message says why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Times are in seconds."""

    delay: float = 0.0
    """From the binding until the containers run."""
    jitter: float = 0.0
    """Up to as much longer takes each of `delay`, `ready`, `succeed` and `stop`."""
    ready: float = 0.0
    """From then until the pod is ready."""
    succeed: float | None = None
    """From the start until the containers end by themselves; None: they never do."""
    fail: float = 0.0
    """How probable it is, from 0 to 1, that they end with exit code 1 in the place of 0."""
    stop: float = 0.0
    """From the deletion until the pod is gone."""

    def fails(self, chance: str) -> bool:
        """Whether the containers' end is a failure; `chance` names the run."""
        return draw(f"{chance}/fail") < self.fail

    def ends_after(self, chance: str) -> float | None:
        """Seconds that the containers run; None: for ever. One that only may fail does so at once."""
        if self.succeed is None:
            return self.jittered(0.0, f"{chance}/end") if self.fails(chance) else None
        return self.jittered(self.succeed, f"{chance}/end")

    def jittered(self, seconds: float, chance: str) -> float:
        """`seconds` and what chance adds."""
        return seconds + (self.jitter * draw(chance) if self.jitter else 0.0)


def draw(chance: str) -> float:
    """A number from 0 to 1 (less than 1) that is always the same for the same text."""
    return int.from_bytes(hashlib.blake2b(chance.encode(), digest_size=6).digest(), "big") / 2**48


def rules_of(pod: Obj, node: Obj) -> Rules:
    """The rules of `pod` on the simulated `node`. A Job's pod that is told nothing else succeeds at once.
    Errors: BadRules."""
    said = {**_said(node), **_said(pod)}
    found = parse(said)
    owner = controller_of(pod)
    if "succeed" not in said and owner is not None and owner.get("kind") == "Job":
        return replace(found, succeed=0.0)
    return found


def parse(said: Mapping[str, Any]) -> Rules:
    """The rules of a JSON object. Errors: BadRules."""
    for name, value in said.items():
        if name not in (*DURATIONS, "fail"):
            raise BadRules(f"unknown rule {name!r}: there are {', '.join((*DURATIONS, 'fail'))}")
        if name == "fail" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BadRules(f"fail: {value!r} is no number")
    seconds = {name: _seconds(name, said[name]) for name in DURATIONS if name in said}
    fail = float(said.get("fail", 0.0))
    if not 0 <= fail <= 1:
        raise BadRules(f"fail: {fail:g} is not between 0 and 1")
    return Rules(**seconds, fail=fail)


def _seconds(name: str, value: Any) -> float:
    try:
        found = parse_duration(value).nanos / 1e9 if isinstance(value, str) else -1.0
    except EvaluationError:
        found = -1.0
    if found < 0:
        raise BadRules(f'{name}: {value!r} is no duration such as "1.5s"')
    return found


def _said(obj: Obj) -> dict[str, Any]:
    text = annotations_of(obj).get(RULES)
    if not text:
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRules(f"{RULES} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadRules(f"{RULES} is no JSON object")
    return found


def run_of(pod: Obj, restarts: int) -> str:
    """The name of one run of a pod's containers, for chance."""
    return f"{uid_of(pod)}/{restarts}"
