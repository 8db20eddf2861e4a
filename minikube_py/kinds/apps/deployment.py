"""Deployment: rolls ReplicaSets of one template forward and back."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.apps.rollout import validate_rolling
from minikube_py.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, integer, selector_text
from minikube_py.kinds.podspec.defaults import default_template
from minikube_py.kinds.podspec.validation import validate_lasting_template
from minikube_py.kinds.podspec.warnings import template_warnings
from minikube_py.kinds.replicastatus import counts_of
from minikube_py.kinds.selectors import validate_own_selector
from minikube_py.kinds.strategy import fresh_status, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, immutable, invalid, non_negative, not_supported

_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


def default(deployment: Obj) -> None:
    default_template(deployment)
    spec = deployment["spec"]
    if_absent(spec, "replicas", 1)
    strategy = section(spec, "strategy")
    if_empty(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        if_absent(rolling, "maxUnavailable", "25%")
        if_absent(rolling, "maxSurge", "25%")
    if_absent(spec, "revisionHistoryLimit", 10)
    if_absent(spec, "progressDeadlineSeconds", 600)


def validate(deployment: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None and deployment["spec"] == old["spec"]:
        return
    spec = deployment["spec"]
    yield from non_negative(deployment, "spec.replicas")
    yield from validate_own_selector(spec, "deployment")
    yield from validate_lasting_template(spec, "ReplicaSet")
    yield from _strategy(spec["strategy"])
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        yield from non_negative(deployment, f"spec.{field}")
    if spec["progressDeadlineSeconds"] <= spec.get("minReadySeconds", 0):
        path = "spec.progressDeadlineSeconds"
        yield invalid(path, spec["progressDeadlineSeconds"], "must be greater than minReadySeconds")
    if old is not None:
        yield from immutable(deployment, old, "spec.selector")


def _strategy(strategy: Obj) -> Iterable[Violation]:
    path = "spec.strategy"
    if strategy["type"] == "RollingUpdate":
        yield from validate_rolling(strategy.get("rollingUpdate"), f"{path}.rollingUpdate")
    elif strategy["type"] != "Recreate":
        yield not_supported(f"{path}.type", strategy["type"], ("Recreate", "RollingUpdate"))
    elif strategy.get("rollingUpdate") is not None:
        told = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden(f"{path}.rollingUpdate", told)


def _ready(deployment: Obj, now: datetime) -> str:
    return f"{dig(deployment, 'status.readyReplicas', 0)}/{dig(deployment, 'spec.replicas', 0)}"


def _selector(deployment: Obj, now: datetime) -> str:
    return selector_text(dig(deployment, "spec.selector"))


Deployment = Kind(
    "Deployment",
    "apps/v1",
    "deployments",
    short_names=("deploy",),
    categories=("all",),
    subresources=("status", "scale"),
    status_keeps=("labels",),
    default=default,
    prepare=fresh_status,
    validate=validate,
    warn=template_warnings(names_pods=True),
    validate_status=counts_of(_COUNTS, within=_COUNTS[1:4], ready="readyReplicas"),
    columns=(
        NAME,
        Column("Ready", _ready, description="Number of the pod with ready state"),
        Column("Up-to-date", integer("status.updatedReplicas"), description="Pods of the current template"),
        Column("Available", integer("status.availableReplicas"), description="Pods ready for long enough"),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", _selector, priority=1, description="Label selector of the pods"),
    ),
)
