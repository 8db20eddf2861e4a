"""The resize subresource: cpu and memory of the containers of a pod that runs."""

from collections.abc import Iterable, Iterator
from typing import Any

from minikube_py.kinds.podspec.defaults import default_pod
from minikube_py.kinds.podspec.qos import qos_class
from minikube_py.kinds.podspec.validation import validate_pod_spec
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj, annotations_of, copy, dig, name_of
from minikube_py.meta.violations import forbidden, invalid

MIRROR = "kubernetes.io/config.mirror"
"""The annotation of pods that show what a kubelet runs by itself."""
_FIELDS = ("containers", "initContainers")
_MUTABLE = ("cpu", "memory")


def with_resources(sent: Obj, pod: Obj) -> Obj:
    """The resize subresource: resources and resize policies of the containers, as they were sent. Containers
    are taken over where they are not the same, so that the refusal can name them."""
    for field in _FIELDS:
        given, known = (sent.get("spec") or {}).get(field) or [], pod["spec"].get(field) or []
        if [c.get("name") for c in given] != [c.get("name") for c in known]:
            if given or field in pod["spec"]:
                pod["spec"][field] = given
            continue
        for container, source in zip(known, given, strict=True):
            for key in ("resources", "resizePolicy"):
                container.pop(key, None)
                if key in source:
                    container[key] = source[key]
    default_pod(pod)
    return pod


def validate_resize(pod: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a resize: cpu and memory alone change, none goes away, the QoS class stays."""
    spec, before = pod["spec"], (old or pod)["spec"]
    if why := _impossible(old or pod, pod):
        yield forbidden("[]", why)
        return
    yield from validate_pod_spec(spec, "spec", pod_name=name_of(pod))
    kept = dig(old or pod, "status.qosClass") or qos_class(before)
    if qos_class(spec) != kept:
        told = "Pod QOS Class may not change as a result of resizing"
        yield invalid("spec", dig(pod, "status.qosClass", ""), told)
    if not _is_supported(old or pod):
        yield forbidden("spec", "Pod running on node without support for resize")
    moved = list(_order(spec, before))
    yield from moved
    if not moved:
        for path, container, known in _pairs(spec, before):
            yield from _container(path, container, known)


def _impossible(old: Obj, pod: Obj) -> str:
    """Why this pod can never be resized; empty where it can."""
    if any((one["spec"].get("resources") or {}).get(f) for one in (old, pod) for f in ("requests", "limits")):
        return "pods with pod-level resources cannot be resized"
    if MIRROR in annotations_of(old):
        return "static pods cannot be resized"
    if dig(old, "spec.os.name") == "windows":
        return "windows pods cannot be resized"
    return ""


def _is_supported(pod: Obj) -> bool:
    """Whether the node tells the resources of what runs; a node that does not cannot resize either."""
    running = (c for c in dig(pod, "status.containerStatuses", ()) if "running" in (c.get("state") or {}))
    found = next(running, None)
    return found is None or found.get("resources") is not None


def _order(spec: Obj, old: Obj) -> Iterable[Violation]:
    for field in _FIELDS:
        new, known = spec.get(field) or [], old.get(field) or []
        if len(new) != len(known):
            yield forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")
            continue
        for index, (container, before) in enumerate(zip(new, known, strict=True)):
            if container.get("name") != before.get("name"):
                told = f"{field} may not be renamed or reordered on resize"
                yield forbidden(f"spec.{field}[{index}].name", told)


def _pairs(spec: Obj, old: Obj) -> Iterator[tuple[str, Obj, Obj]]:
    for field in ("initContainers", "containers"):
        for index, pair in enumerate(zip(spec.get(field) or (), old.get(field) or (), strict=True)):
            yield f"spec.{field}[{index}]", *pair


def _container(path: str, container: Obj, old: Obj) -> Iterable[Violation]:
    is_init, is_sidecar = "initContainers" in path, container.get("restartPolicy") == "Always"
    if is_init and not is_sidecar:
        if container != old:
            yield forbidden("spec", "resources for non-sidecar init containers are immutable")
        return
    for field in ("requests", "limits"):
        if _amounts(old, field).keys() - _amounts(container, field).keys():
            yield forbidden(f"{path}.resources.{field}", f"resource {field} cannot be removed")
    if _without_mutable(container, old) != old:
        whose = " for sidecar containers" if is_init else ""
        yield forbidden("spec", f"only cpu and memory resources{whose} are mutable")


def _amounts(container: Obj, field: str) -> dict[str, Any]:
    return (container.get("resources") or {}).get(field) or {}


def _without_mutable(container: Obj, old: Obj) -> Obj:
    """`container` with cpu and memory as `old` has them."""
    munged: Obj = copy(container)
    resources = {}
    for field in ("limits", "requests"):
        before = _amounts(old, field)
        if not before:
            continue
        amounts = {name: value for name, value in _amounts(container, field).items() if name not in _MUTABLE}
        resources[field] = amounts | {name: before[name] for name in _MUTABLE if name in before}
    if claims := (container.get("resources") or {}).get("claims"):
        resources["claims"] = claims
    munged["resources"] = resources
    return munged
