"""How a Deployment's replicas move between its ReplicaSets: rolling update, Recreate, proportional scaling.

Pure. The rules are those of the Deployment documentation: a rolling update never has more pods than
replicas + maxSurge, nor fewer available ones than replicas - maxUnavailable.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from minikube_py.controllers.pods import created_at
from minikube_py.meta.objects import Obj, annotations_of, dig, uid_of

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True, slots=True)
class Scale:
    """Set spec.replicas of a ReplicaSet."""

    rs: Obj
    replicas: int


def resolve(value: int | str | None, total: int, *, round_up: bool, default: int | str = 0) -> int:
    """A number, or a percentage such as `25%` of `total`."""
    value = default if value is None else value
    if isinstance(value, int):
        return value
    share = int(value.strip().removesuffix("%")) * total
    return math.ceil(share / 100) if round_up else share // 100


def replicas_of(obj: Obj) -> int:
    """spec.replicas, 1 where it is missing."""
    return int(dig(obj, "spec.replicas", 1))


def available_of(rs: Obj) -> int:
    return int(dig(rs, "status.availableReplicas", 0))


def is_rolling(deployment: Obj) -> bool:
    return bool(dig(deployment, "spec.strategy.type", "RollingUpdate") == "RollingUpdate")


def max_surge(deployment: Obj) -> int:
    """Pods above spec.replicas that a rolling update may have."""
    if not is_rolling(deployment):
        return 0
    value = dig(deployment, "spec.strategy.rollingUpdate.maxSurge")
    return resolve(value, replicas_of(deployment), round_up=True, default="25%")


def max_unavailable(deployment: Obj) -> int:
    """Pods below spec.replicas that a rolling update may lack; at least 1 where the surge is 0."""
    desired = replicas_of(deployment)
    if not is_rolling(deployment) or desired == 0:
        return 0
    value = dig(deployment, "spec.strategy.rollingUpdate.maxUnavailable")
    found = resolve(value, desired, round_up=False, default="25%")
    if found == 0 and max_surge(deployment) == 0:
        found = 1
    return min(found, desired)


def active(sets: Sequence[Obj]) -> list[Obj]:
    """Those that want pods."""
    return [rs for rs in sets if replicas_of(rs) > 0]


def is_scaling(deployment: Obj, sets: Sequence[Obj]) -> bool:
    """Whether spec.replicas has changed since the ReplicaSets were sized."""
    return any(
        annotations_of(rs).get(DESIRED, str(replicas_of(deployment))) != str(replicas_of(deployment))
        for rs in active(sets)
    )


def plan_rolling(deployment: Obj, new: Obj, old: Sequence[Obj]) -> list[Scale]:
    """The next step of a rolling update: grow the new set as far as the surge allows, else shrink old ones."""
    grown = new_size(deployment, new, old)
    if grown != replicas_of(new):
        return [Scale(new, grown)]
    return _shrink_old(deployment, new, active(old))


def new_size(deployment: Obj, new: Obj | None, old: Sequence[Obj]) -> int:
    """The replicas that the new set (None: yet to be made) may have beside the old ones."""
    desired, now = replicas_of(deployment), replicas_of(new) if new is not None else 0
    if now >= desired or not is_rolling(deployment):
        return desired
    room = desired + max_surge(deployment) - now - sum(map(replicas_of, old))
    return now + max(0, min(room, desired - now))


def _shrink_old(deployment: Obj, new: Obj, old: Sequence[Obj]) -> list[Scale]:
    minimum = replicas_of(deployment) - max_unavailable(deployment)
    total = replicas_of(new) + sum(map(replicas_of, old))
    missing_new = replicas_of(new) - available_of(new)
    budget = total - minimum - missing_new
    if not old or budget <= 0:
        return []
    sizes = {uid_of(rs): replicas_of(rs) for rs in old}
    oldest_first = sorted(old, key=created_at)
    for rs in oldest_first:  # pods that are not available serve nobody: they go first
        unhealthy = min(budget, max(0, replicas_of(rs) - available_of(rs)))
        sizes[uid_of(rs)] -= unhealthy
        budget -= unhealthy
    spare = available_of(new) + sum(map(available_of, old)) - minimum
    for rs in oldest_first:
        healthy = min(max(0, spare), sizes[uid_of(rs)])
        sizes[uid_of(rs)] -= healthy
        spare -= healthy
    return [Scale(rs, sizes[uid_of(rs)]) for rs in oldest_first if sizes[uid_of(rs)] != replicas_of(rs)]


def plan_recreate(deployment: Obj, new: Obj | None, old: Sequence[Obj], old_pods_run: bool) -> list[Scale]:
    """The next step of Recreate: first no old pods, then all new ones."""
    if shrink := [Scale(rs, 0) for rs in active(old)]:
        return shrink
    if old_pods_run or new is None or replicas_of(new) == replicas_of(deployment):
        return []
    return [Scale(new, replicas_of(deployment))]


def is_saturated(deployment: Obj, new: Obj | None) -> bool:
    """Whether the new set has every replica, available."""
    if new is None:
        return False
    desired = replicas_of(deployment)
    return (
        annotations_of(new).get(DESIRED) == str(desired)
        and replicas_of(new) == desired
        and available_of(new) == desired
    )


def plan_scaling(deployment: Obj, new: Obj | None, old: Sequence[Obj]) -> list[Scale]:
    """Bring the sets to a changed spec.replicas: the only active one takes all, several share in proportion
    to their sizes (so that a rollout in progress or paused keeps its shape)."""
    sets = [*([new] if new is not None else []), *sorted(old, key=created_at, reverse=True)]
    running = active(sets)
    if len(running) <= 1:
        one = (running or sets)[:1]
        return [Scale(rs, replicas_of(deployment)) for rs in one if replicas_of(rs) != replicas_of(deployment)]
    if is_saturated(deployment, new):
        return [Scale(rs, 0) for rs in active(old)]
    if not is_rolling(deployment):
        return []
    return _in_proportion(deployment, running)


def _in_proportion(deployment: Obj, sets: Sequence[Obj]) -> list[Scale]:
    desired = replicas_of(deployment)
    allowed = desired + max_surge(deployment) if desired > 0 else 0
    to_add = allowed - sum(map(replicas_of, sets))
    newest_first = sorted(sets, key=created_at, reverse=to_add > 0)
    by_size = sorted(newest_first, key=replicas_of, reverse=True)
    added, sizes = 0, []
    for rs in by_size:
        share = _share(deployment, rs, to_add, added)
        added += share
        sizes.append(replicas_of(rs) + share)
    sizes[0] = max(0, sizes[0] + to_add - added)
    return [Scale(rs, size) for rs, size in zip(by_size, sizes, strict=True)]


def _share(deployment: Obj, rs: Obj, to_add: int, added: int) -> int:
    """What `rs` gains or loses of `to_add`, of which `added` has been given away."""
    left = to_add - added
    if left == 0:
        return 0
    if replicas_of(deployment) == 0:
        fraction = -replicas_of(rs)
    else:
        bound = replicas_of(deployment) + max_surge(deployment)
        before = int(annotations_of(rs).get(MAXIMUM) or dig(deployment, "status.replicas", 0) or bound)
        fraction = math.floor(replicas_of(rs) * bound / before + 0.5) - replicas_of(rs)
    return min(fraction, left) if to_add > 0 else max(fraction, left)
