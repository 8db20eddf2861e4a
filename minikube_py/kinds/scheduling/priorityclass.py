"""PriorityClass: the name of a pod priority."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, NAME, integer
from minikube_py.kinds.strategy import count_generation, if_absent
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, dig, name_of
from minikube_py.meta.violations import forbidden, immutable, not_supported

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_POLICIES = ("Never", "PreemptLowerPriority")


def default(priority: Obj) -> None:
    if_absent(priority, "preemptionPolicy", "PreemptLowerPriority")
    if_absent(priority, "value", 0)


def validate(priority: Obj, old: Obj | None) -> Iterable[Violation]:
    name, value = name_of(priority), priority["value"]
    if name.startswith("system-"):
        if SYSTEM_PRIORITIES.get(name) != value:
            told = "priority class names with 'system-' prefix are reserved for system use only"
            yield forbidden("metadata.name", f"{told}. error: {name} is not a known system priority class")
    elif value > HIGHEST_USER_PRIORITY:
        told = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        yield forbidden("value", told)
    if priority["preemptionPolicy"] not in _POLICIES:
        yield not_supported("preemptionPolicy", priority["preemptionPolicy"], _POLICIES)
    if old is not None:
        if value != old.get("value", 0):
            yield forbidden("value", "may not be changed in an update.")
        yield from immutable(priority, old, "preemptionPolicy")


PriorityClass = Kind(
    "PriorityClass",
    "scheduling.k8s.io/v1",
    "priorityclasses",
    short_names=("pc",),
    namespaced=False,
    default=default,
    prepare=count_generation,
    validate=validate,
    columns=(
        NAME,
        Column("Value", integer("value"), "integer", description="The priority; higher is more important"),
        Column(
            "Global-Default",
            lambda obj, now: dig(obj, "globalDefault", False),
            "boolean",
            description="Whether pods without a class get this one",
        ),
        AGE,
        Column("PreemptionPolicy", "preemptionPolicy", description="Whether its pods may preempt others"),
    ),
)
