"""DaemonSet: one pod on every node that its template fits."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.apps.rollout import validate_daemon_rolling
from minikube_py.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, format_labels, integer
from minikube_py.kinds.podspec.defaults import default_template
from minikube_py.kinds.podspec.validation import validate_lasting_template
from minikube_py.kinds.podspec.warnings import template_warnings
from minikube_py.kinds.replicastatus import counts_of
from minikube_py.kinds.selectors import validate_own_selector
from minikube_py.kinds.strategy import count_generation, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.objects import Obj, annotations_of, dig
from minikube_py.meta.violations import immutable, non_negative, not_supported

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


_COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
)


def default(daemon_set: Obj) -> None:
    default_template(daemon_set)
    spec = daemon_set["spec"]
    strategy = section(spec, "updateStrategy")
    if_empty(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        if_absent(rolling, "maxUnavailable", 1)
        if_absent(rolling, "maxSurge", 0)
    if_absent(spec, "revisionHistoryLimit", 10)


def prepare(daemon_set: Obj, old: Obj | None) -> None:
    if old is None:
        daemon_set["status"] = {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }
    count_generation(daemon_set, old)
    _count_templates(daemon_set, old)


def _count_templates(daemon_set: Obj, old: Obj | None) -> None:
    """Number the template, as old clients still read it."""
    number = 1
    if old is not None:
        before = annotations_of(old).get(TEMPLATE_GENERATION, "")
        changed = daemon_set["spec"]["template"] != old["spec"]["template"]
        number = (int(before) if before.isdecimal() else 1) + changed
    section(daemon_set["metadata"], "annotations")[TEMPLATE_GENERATION] = str(number)


def validate(daemon_set: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None and daemon_set["spec"] == old["spec"]:
        return
    spec = daemon_set["spec"]
    yield from validate_own_selector(spec, "daemonset")
    yield from validate_lasting_template(spec, "DaemonSet")
    strategy = spec["updateStrategy"]
    if strategy["type"] == "RollingUpdate":
        yield from validate_daemon_rolling(strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate")
    elif strategy["type"] != "OnDelete":
        yield not_supported("spec.updateStrategy", strategy, ("RollingUpdate", "OnDelete"))
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        yield from non_negative(daemon_set, f"spec.{field}")
    if old is not None:
        yield from immutable(daemon_set, old, "spec.selector")


def _node_selector(daemon_set: Obj, now: datetime) -> str:
    return format_labels(dig(daemon_set, "spec.template.spec.nodeSelector"))


DaemonSet = Kind(
    "DaemonSet",
    "apps/v1",
    "daemonsets",
    short_names=("ds",),
    categories=("all",),
    subresources=("status",),
    default=default,
    prepare=prepare,
    validate=validate,
    warn=template_warnings(),
    validate_status=counts_of(_COUNTS),
    columns=(
        NAME,
        Column("Desired", integer("status.desiredNumberScheduled"), "integer", description="Nodes to run on"),
        Column("Current", integer("status.currentNumberScheduled"), "integer", description="Nodes with a pod"),
        Column("Ready", integer("status.numberReady"), "integer", description="Nodes with a ready pod"),
        Column("Up-to-date", integer("status.updatedNumberScheduled"), "integer", description="Updated nodes"),
        Column("Available", integer("status.numberAvailable"), "integer", description="Available pods"),
        Column("Node Selector", _node_selector, description="Labels of the nodes to run on"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
