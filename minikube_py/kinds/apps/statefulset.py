"""StatefulSet: pods with a lasting name and storage each."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.apps.rollout import validate_partitioned
from minikube_py.kinds.columns import AGE, CONTAINERS, IMAGES, NAME
from minikube_py.kinds.core.claimspec import default_claim_spec, validate_claim_spec
from minikube_py.kinds.podspec.defaults import default_template
from minikube_py.kinds.podspec.validation import validate_lasting, validate_template
from minikube_py.kinds.podspec.warnings import template_warnings
from minikube_py.kinds.replicastatus import counts_of
from minikube_py.kinds.selectors import validate_own_selector
from minikube_py.kinds.strategy import count_generation, if_absent, if_empty, section
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_label
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, invalid, non_negative, not_supported

_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_COUNTS = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")


def default(stateful_set: Obj) -> None:
    default_template(stateful_set)
    spec = stateful_set["spec"]
    if_empty(spec, "podManagementPolicy", "OrderedReady")
    strategy = section(spec, "updateStrategy")
    if_empty(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        if_absent(section(strategy, "rollingUpdate"), "partition", 0)
    retention = section(spec, "persistentVolumeClaimRetentionPolicy")
    for moment in ("whenDeleted", "whenScaled"):
        if_empty(retention, moment, "Retain")
    if_absent(spec, "replicas", 1)
    if_absent(spec, "revisionHistoryLimit", 10)
    for template in spec.get("volumeClaimTemplates") or ():
        if_empty(template, "apiVersion", "v1")
        if_empty(template, "kind", "PersistentVolumeClaim")
        if_empty(section(template, "status"), "phase", "Pending")
        default_claim_spec(section(template, "spec"))


def prepare(stateful_set: Obj, old: Obj | None) -> None:
    if old is None:
        stateful_set["status"] = {"replicas": 0, "availableReplicas": 0}
    count_generation(stateful_set, old)


def validate(stateful_set: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = stateful_set["spec"]
    if old is not None and spec == old["spec"]:
        return
    yield from _policies(spec)
    for field in ("replicas", "minReadySeconds", "ordinals.start"):
        yield from non_negative(stateful_set, f"spec.{field}")
    if old is None:
        for index, template in enumerate(spec.get("volumeClaimTemplates") or ()):
            yield from validate_claim_spec(template["spec"], f"spec.volumeClaimTemplates[{index}].spec")
        for reason in dns1123_label(spec["serviceName"]) if spec.get("serviceName") else ():
            yield invalid("spec.serviceName", spec["serviceName"], reason)
    yield from validate_own_selector(spec, "statefulset")
    yield from validate_template(_template(spec), "spec.template")
    yield from validate_lasting(spec, "StatefulSet")
    if old is not None and _fixed(spec) != _fixed(old["spec"]):
        yield forbidden("spec", _FIXED)


def _fixed(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if key not in _MUTABLE}


def _policies(spec: Obj) -> Iterable[Violation]:
    management, strategy = spec["podManagementPolicy"], spec["updateStrategy"]
    if management not in ("OrderedReady", "Parallel"):
        yield invalid("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'")
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "OnDelete":
        if rolling is not None:
            told = "only allowed for updateStrategy 'RollingUpdate'"
            yield invalid("spec.updateStrategy.rollingUpdate", rolling, told)
    elif strategy["type"] != "RollingUpdate":
        yield invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'")
    else:
        yield from validate_partitioned(rolling or {}, "spec.updateStrategy.rollingUpdate")
    for moment in ("whenDeleted", "whenScaled"):
        policy = spec["persistentVolumeClaimRetentionPolicy"][moment]
        if policy not in ("Retain", "Delete"):
            path = f"spec.persistentVolumeClaimRetentionPolicy.{moment}"
            yield not_supported(path, policy, ("Retain", "Delete"))


def _template(spec: Obj) -> Obj:
    """The template as its pods will be: with a volume for each claim, with names of the controller's choice."""
    claims = [template.get("metadata", {}).get("name") for template in spec.get("volumeClaimTemplates") or ()]
    pod = {
        key: value for key, value in spec["template"]["spec"].items() if key not in ("hostname", "subdomain")
    }
    if claims:
        volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
        others = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claims]
        pod["volumes"] = [*volumes, *others]
    return {**spec["template"], "spec": pod}


def _ready(stateful_set: Obj, now: datetime) -> str:
    return f"{dig(stateful_set, 'status.readyReplicas', 0)}/{dig(stateful_set, 'spec.replicas', 0)}"


StatefulSet = Kind(
    "StatefulSet",
    "apps/v1",
    "statefulsets",
    short_names=("sts",),
    categories=("all",),
    subresources=("status", "scale"),
    default=default,
    prepare=prepare,
    validate=validate,
    warn=template_warnings(),
    validate_status=counts_of(_COUNTS, within=_COUNTS[1:], ready="status.readyReplicas"),
    name_rule=dns1123_label,
    columns=(
        NAME,
        Column("Ready", _ready, description="Number of the pod with ready state"),
        AGE,
        CONTAINERS,
        IMAGES,
    ),
)
