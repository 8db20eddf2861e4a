"""How far a workload may be scaled at once: limits, rates and stabilization (spec.behavior, KEP-853). Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from minikube_py.meta.objects import Obj, dig

Direction = Literal["scaleUp", "scaleDown"]
DOWN_WINDOW = 300
"""Seconds that lower recommendations wait, where the behavior does not say."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A recommendation (`replicas` wanted), or a scaling (`replicas` added or removed), and when it was."""

    at: datetime
    replicas: int


@dataclass(frozen=True, slots=True)
class History:
    """What a worker remembers of one autoscaler, the oldest first."""

    recommendations: Sequence[Moment] = ()
    ups: Sequence[Moment] = ()
    downs: Sequence[Moment] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The replicas to set, and the conditions AbleToScale and ScalingLimited as (status, reason, message)."""

    replicas: int
    able: tuple[str, str, str]
    limited: tuple[str, str, str]


_READY = ("True", "ReadyForNewScale", "recommended size matches current size")
_IN_RANGE = ("False", "DesiredWithinRange", "the desired count is within the acceptable range")


def decide(autoscaler: Obj, current: int, wanted: int, history: History, now: datetime) -> Decision:
    """What becomes of the `wanted` replicas, `current` being those of the target's spec."""
    stable, able = _stabilized(autoscaler, current, wanted, history, now)
    replicas, limited = _limited(autoscaler, current, stable, history, now)
    return Decision(replicas, able, limited)


def _window(autoscaler: Obj, direction: str, default: int) -> timedelta:
    seconds = dig(autoscaler, f"spec.behavior.{direction}.stabilizationWindowSeconds")
    return timedelta(seconds=default if seconds is None else int(seconds))


def _stabilized(
    autoscaler: Obj, current: int, wanted: int, history: History, now: datetime
) -> tuple[int, tuple[str, str, str]]:
    """The recommendation that no other one of its window argues against."""
    up_since = now - _window(autoscaler, "scaleUp", 0)
    down_since = now - _window(autoscaler, "scaleDown", DOWN_WINDOW)
    lowest = min([wanted, *(m.replicas for m in history.recommendations if m.at > up_since)])
    highest = max([wanted, *(m.replicas for m in history.recommendations if m.at > down_since)])
    if dig(autoscaler, "spec.behavior") is None:
        lowest = highest  # without a behavior the highest recent one is taken, whatever runs now
    stable = current
    if stable < lowest:
        stable = lowest
    if stable > highest:
        stable = highest
    if stable == wanted:
        return stable, _READY
    if wanted < current or lowest == highest:
        message = (
            "recent recommendations were higher than current one, applying the highest recent recommendation"
        )
        return stable, ("True", "ScaleDownStabilized", message)
    message = "recent recommendations were lower than current one, applying the lowest recent recommendation"
    return stable, ("True", "ScaleUpStabilized", message)


def _limited(
    autoscaler: Obj, current: int, wanted: int, history: History, now: datetime
) -> tuple[int, tuple[str, str, str]]:
    """`wanted` within minReplicas, maxReplicas and the rates."""
    least, most = int(dig(autoscaler, "spec.minReplicas", 1)), int(dig(autoscaler, "spec.maxReplicas", 1))
    if wanted > current:
        rate = max(_rate_limit(autoscaler, current, "scaleUp", history, now), current)
        ceiling = min(rate, most)
        if wanted > ceiling:
            if rate < most:
                told = "the desired replica count is increasing faster than the maximum scale rate"
                return ceiling, ("True", "ScaleUpLimit", told)
            told = "the desired replica count is more than the maximum replica count"
            return ceiling, ("True", "TooManyReplicas", told)
    elif wanted < current:
        rate = min(_rate_limit(autoscaler, current, "scaleDown", history, now), current)
        floor = max(rate, least)
        if wanted < floor:
            if rate > least:
                told = "the desired replica count is decreasing faster than the maximum scale rate"
                return floor, ("True", "ScaleDownLimit", told)
            told = "the desired replica count is less than the minimum replica count"
            return floor, ("True", "TooFewReplicas", told)
    return wanted, _IN_RANGE


def _moved(moments: Iterable[Moment], seconds: float, now: datetime) -> int:
    since = now - timedelta(seconds=seconds)
    return sum(moment.replicas for moment in moments if moment.at > since)


def _rate_limit(autoscaler: Obj, current: int, direction: Direction, history: History, now: datetime) -> int:
    """How far the policies of a direction allow to go. Without a behavior: up to twice as many, at least 4;
    down to none."""
    up = direction == "scaleUp"
    rules = dig(autoscaler, f"spec.behavior.{direction}")
    if rules is None:
        return max(2 * current, 4) if up else 0
    if rules.get("selectPolicy") == "Disabled":
        return current
    sign, whole = (1, math.ceil) if up else (-1, math.floor)
    limits = []
    for policy in rules.get("policies") or ():
        period = policy["periodSeconds"]
        before = current - _moved(history.ups, period, now) + _moved(history.downs, period, now)
        step = sign * int(policy["value"])
        limits.append(before + step if policy["type"] == "Pods" else whole(before * (1 + step / 100)))
    furthest = up == (rules.get("selectPolicy") != "Min")
    return (max if furthest else min)(limits, default=current)


def longest_period(autoscaler: Obj) -> timedelta:
    """How long scalings matter to any policy or window."""
    seconds = [DOWN_WINDOW]
    for direction in ("scaleUp", "scaleDown"):
        rules = dig(autoscaler, f"spec.behavior.{direction}") or {}
        seconds.append(int(rules.get("stabilizationWindowSeconds") or 0))
        seconds += [int(policy["periodSeconds"]) for policy in rules.get("policies") or ()]
    return timedelta(seconds=max(seconds))


def remembered(history: History, autoscaler: Obj, now: datetime) -> History:
    """The history less what is too old to matter."""
    since = now - longest_period(autoscaler)

    def young(moments: Iterable[Moment]) -> list[Moment]:
        return [moment for moment in moments if moment.at > since]

    return History(young(history.recommendations), young(history.ups), young(history.downs))
