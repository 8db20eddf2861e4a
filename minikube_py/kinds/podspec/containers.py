"""Validation of the containers of a pod: names, images, ports, and what each role of container may have."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from minikube_py.kinds.podspec.environment import validate_environment
from minikube_py.kinds.podspec.mounts import validate_mounts
from minikube_py.kinds.podspec.probes import validate_probes
from minikube_py.kinds.podspec.resources import validate_container_resources
from minikube_py.kinds.podspec.security import validate_security
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, port_name, port_number
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_found, not_supported, required

PROTOCOLS = ("SCTP", "TCP", "UDP")
FIELDS = ("containers", "initContainers", "ephemeralContainers")
"""Where a pod spec has containers, in the order in which they are judged."""
_HOOKS = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_RESIZABLE, _RESIZE_POLICIES = ("cpu", "memory"), ("NotRequired", "RestartContainer")
_EPHEMERAL_FIELDS = frozenset(
    (
        "name", "image", "command", "args", "workingDir", "env", "envFrom", "volumeMounts", "volumeDevices",
        "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "securityContext", "stdin",
        "stdinOnce", "tty", "targetContainerName",
    )
)  # fmt: skip


class Surroundings(NamedTuple):
    """What a container's validity depends on in its pod."""

    volumes: Mapping[str, Obj]
    claims: frozenset[str]
    """The names in resourceClaims."""
    grace: int | None
    restart_policy: str
    host_users: bool
    is_pod: bool
    """Whether this is a pod, not a template."""


def validate_containers(spec: Obj, pod: Surroundings, path: str) -> Iterable[Violation]:
    """The refusals of the ordinary, init and ephemeral containers of a pod spec."""
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    names: set[str] = set()
    targets: set[str] = set()
    ports: set[str] = set()
    for field in FIELDS:
        for index, container in enumerate(spec.get(field) or ()):
            place, name = f"{path}.{field}[{index}]", container.get("name") or ""
            yield from _container(container, pod, place)
            if name and name in names:
                yield duplicate(f"{place}.name", name)
            names.add(name)
            if field == "ephemeralContainers":
                yield from _ephemeral(container, targets, place)
                continue
            targets.add(name)
            if field == "initContainers":
                yield from _init(container, pod.grace, place)
                ports = set()  # they run one by one
            else:
                yield from validate_probes(container, pod.grace, place)
                if container.get("restartPolicy") is not None:
                    yield forbidden(f"{place}.restartPolicy", "may not be set for non-init containers")
            yield from _host_ports(container, ports, f"{place}.ports")


def _container(container: Obj, pod: Surroundings, path: str) -> Iterable[Violation]:
    yield from _identity(container, pod.is_pod, path)
    yield from _ports(container.get("ports") or (), f"{path}.ports")
    yield from validate_environment(container, path)
    yield from validate_mounts(container, pod.volumes, path)
    policy = container.get("imagePullPolicy")
    if not policy:
        yield required(f"{path}.imagePullPolicy")
    elif policy not in ("Always", "IfNotPresent", "Never"):
        yield not_supported(f"{path}.imagePullPolicy", policy, ("Always", "IfNotPresent", "Never"))
    resources = container.get("resources") or {}
    yield from validate_container_resources(resources, pod.claims, f"{path}.resources")
    yield from _resize_policy(container, pod.restart_policy, f"{path}.resizePolicy")
    context = container.get("securityContext") or {}
    yield from validate_security(context, pod.host_users, f"{path}.securityContext")


def _identity(container: Obj, is_pod: bool, path: str) -> Iterable[Violation]:
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        yield required(f"{path}.name")
    for reason in dns1123_label(name) if name else ():
        yield invalid(f"{path}.name", name, reason)
    if not image:
        yield required(f"{path}.image")
    elif is_pod and image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    policy, supported = container.get("terminationMessagePolicy"), ("File", "FallbackToLogsOnError")
    if not policy:
        yield required(f"{path}.terminationMessagePolicy")
    elif policy not in supported:
        yield not_supported(f"{path}.terminationMessagePolicy", policy, supported)


def _init(container: Obj, grace: int | None, path: str) -> Iterable[Violation]:
    """What an init container may have: a sidecar's life is watched, another's is not."""
    policy = container.get("restartPolicy")
    if policy is not None and policy != "Always":
        yield not_supported(f"{path}.restartPolicy", policy, ("Always",))
    if policy == "Always":
        yield from validate_probes(container, grace, path)
        return
    for name in _HOOKS:
        if container.get(name) is not None:
            told = "may not be set for init containers without restartPolicy=Always"
            yield forbidden(f"{path}.{name}", told)


def _ephemeral(container: Obj, targets: set[str], path: str) -> Iterable[Violation]:
    target = container.get("targetContainerName") or ""
    if target and target not in targets:
        yield not_found(f"{path}.targetContainerName", target)
    told = "cannot be set for an Ephemeral Container"
    for field, value in container.items():
        if field not in _EPHEMERAL_FIELDS and value:
            yield forbidden(f"{path}.{field}", told)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                yield forbidden(f"{path}.volumeMounts[{index}].{field}", told)


def _resize_policy(container: Obj, restart_policy: str, path: str) -> Iterable[Violation]:
    seen: set[Any] = set()
    for index, one in enumerate(container.get("resizePolicy") or ()):
        name, policy = one.get("resourceName") or "", one.get("restartPolicy") or ""
        if name in seen:
            yield duplicate(f"{path}[{index}]", name)
        seen.add(name)
        for value, supported in ((name, _RESIZABLE), (policy, _RESIZE_POLICIES)):
            if not value:
                yield required(path)
            elif value not in supported:
                yield not_supported(path, value, supported)
        if restart_policy == "Never" and policy != "NotRequired":
            yield invalid(path, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _ports(ports: Iterable[Obj], path: str) -> Iterable[Violation]:
    names: set[str] = set()
    for index, port in enumerate(ports):
        place, name, number = f"{path}[{index}]", port.get("name") or "", port.get("containerPort") or 0
        for reason in port_name(name) if name else ():
            yield invalid(f"{place}.name", name, reason)
        if name and name in names:
            yield duplicate(f"{place}.name", name)
        names.add(name)
        if not number:
            yield required(f"{place}.containerPort")
        for reason in port_number(number) if number else ():
            yield invalid(f"{place}.containerPort", number, reason)
        host_port = port.get("hostPort") or 0
        for reason in port_number(host_port) if host_port else ():
            yield invalid(f"{place}.hostPort", host_port, reason)
        if not port.get("protocol"):
            yield required(f"{place}.protocol")
        elif port["protocol"] not in PROTOCOLS:
            yield not_supported(f"{place}.protocol", port["protocol"], PROTOCOLS)


def _host_ports(container: Obj, taken: set[str], path: str) -> Iterable[Violation]:
    for index, port in enumerate(container.get("ports") or ()):
        if not port.get("hostPort"):
            continue
        key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{port['hostPort']}"
        if key in taken:
            yield duplicate(f"{path}[{index}].hostPort", key)
        taken.add(key)


def validate_network_ports(spec: Obj, path: str, *, is_pod: bool) -> Iterable[Violation]:
    """The refusals of host ports of a pod in the host's network: they are the containers' own."""
    told = "must match `containerPort` when `hostNetwork` is true"
    for index, container in enumerate(spec.get("containers") or () if spec.get("hostNetwork") else ()):
        for number, port in enumerate(container.get("ports") or ()):
            host_port = port.get("hostPort") or 0
            if (is_pod or host_port) and host_port != port.get("containerPort"):
                yield invalid(f"{path}.containers[{index}].ports[{number}].hostPort", host_port, told)
