"""Pod: containers that live and die together on one node."""

from collections.abc import Iterable

from minikube_py.kinds.differences import told_differences
from minikube_py.kinds.podspec.apparmor import copy_annotations
from minikube_py.kinds.podspec.columns import COLUMNS
from minikube_py.kinds.podspec.defaults import default_pod, mirror_service_account
from minikube_py.kinds.podspec.deletioncost import validate_deletion_cost
from minikube_py.kinds.podspec.labelkeys import merge_label_keys
from minikube_py.kinds.podspec.qos import qos_class
from minikube_py.kinds.podspec.resize import MIRROR, validate_resize, with_resources
from minikube_py.kinds.podspec.states import validate_pod_status
from minikube_py.kinds.podspec.update import validate_pod_update
from minikube_py.kinds.podspec.validation import validate_pod_spec
from minikube_py.kinds.podspec.warnings import pod_warnings
from minikube_py.kinds.strategy import count_generation
from minikube_py.meta.kind import Kind, Part, Violation
from minikube_py.meta.objects import Obj, annotations_of, name_of
from minikube_py.meta.violations import forbidden

SELECTABLE = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
)


BY_NODE = "spec.nodeName"
"""The index of a cache that files pods under the node they run on."""


def node_of(pod: Obj) -> Iterable[str]:
    """The values of BY_NODE."""
    node = (pod.get("spec") or {}).get("nodeName")
    return (node,) if node else ()


def prepare(pod: Obj, old: Obj | None) -> None:
    mirror_service_account(pod["spec"])
    if old is None:
        merge_label_keys(pod)
        copy_annotations(pod)
        pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}
        if pod["spec"].get("schedulingGates"):
            pod["status"]["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]
    elif ephemeral := old["spec"].get("ephemeralContainers"):
        pod["spec"]["ephemeralContainers"] = ephemeral  # only their subresource adds some
    count_generation(pod, old)


def validate(pod: Obj, old: Obj | None) -> Iterable[Violation]:
    spec = pod["spec"]
    yield from validate_deletion_cost(pod, old)
    if old is not None and spec == old["spec"]:
        return
    yield from _validate_spec(pod)
    if old is not None:
        yield from validate_pod_update(spec, old["spec"])
        return
    if spec.get("ephemeralContainers"):
        yield forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def _validate_spec(pod: Obj) -> Iterable[Violation]:
    """The refusals of the spec of a pod, which unlike a template's is about to run."""
    spec = pod["spec"]
    yield from validate_pod_spec(spec, "spec", pod_name=name_of(pod))
    if spec.get("serviceAccountName"):
        return
    for index, volume in enumerate(spec.get("volumes") or ()):
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                path = f"spec.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                yield forbidden(path, "must not be specified when serviceAccountName is not set")


def with_ephemeral_containers(sent: Obj, pod: Obj) -> Obj:
    """The ephemeralcontainers subresource: that list alone."""
    pod["spec"]["ephemeralContainers"] = (sent.get("spec") or {}).get("ephemeralContainers") or []
    return pod


def validate_ephemeral_containers(pod: Obj, old: Obj | None) -> Iterable[Violation]:
    """Ephemeral containers are only ever added."""
    path, before = "spec.ephemeralContainers", old or {}
    if MIRROR in annotations_of(before):
        yield forbidden("[]", "static pods do not support ephemeral containers")
        return
    yield from _validate_spec(pod)
    new = {one.get("name"): one for one in pod["spec"].get("ephemeralContainers") or ()}
    for known in before.get("spec", {}).get("ephemeralContainers") or ():
        name = known.get("name")
        if name not in new:
            yield forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n')
        elif new[name] != known:
            told = told_differences(new[name], known, path)
            yield forbidden(path, f'existing ephemeral containers "{name}" may not be changed{told}')


Pod = Kind(
    "Pod",
    "v1",
    "pods",
    short_names=("po",),
    categories=("all",),
    subresources=(
        "status",
        "binding",
        "eviction",
        "log",
        "exec",
        "attach",
        "portforward",
        "proxy",
        "ephemeralcontainers",
        "resize",
    ),
    parts={
        "ephemeralcontainers": Part(with_ephemeral_containers, validate_ephemeral_containers),
        "resize": Part(with_resources, validate_resize),
    },
    validate_status=validate_pod_status,
    returns_deleted=True,
    default=default_pod,
    status_keeps=("ownerReferences",),
    prepare=prepare,
    validate=validate,
    warn=pod_warnings,
    fields={path: path for path in SELECTABLE},
    columns=COLUMNS,
)
