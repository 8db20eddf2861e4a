"""Validation of containers: names, images, ports, environment, mounts, security."""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from minikube_py.kinds.podspec.probes import validate_probes
from minikube_py.kinds.podspec.resources import validate_resources
from minikube_py.kinds.podspec.volumes import validate_field_ref, validate_relative_path
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import (
    config_map_key,
    dns1123_label,
    environment_name,
    port_name,
    port_number,
)
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import (
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)

PROTOCOLS = ("SCTP", "TCP", "UDP")
_ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_MAX_ID = 2**31 - 1
_ID_RANGE = f"must be between 0 and {_MAX_ID}, inclusive"


class Surroundings(NamedTuple):
    """What a container's validity depends on: the pod's volumes, and whether it uses the host's network."""

    volumes: Collection[str]
    host_network: bool = False


def validate_containers(spec: Obj, pod: Surroundings, path: str) -> Iterable[Violation]:
    """The refusals of the init, ordinary and ephemeral containers of a pod spec."""
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    names: set[str] = set()
    host_ports: set[tuple[Any, ...]] = set()
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            place = f"{path}.{field}[{index}]"
            yield from _container(container, pod, place)
            yield from _role(container, field, place)
            name = container.get("name") or ""
            if name and name in names:
                yield duplicate(f"{place}.name", name)
            names.add(name)
            if field == "containers" or container.get("restartPolicy") == "Always":
                yield from _host_ports(container, host_ports, f"{place}.ports")


def _container(container: Obj, pod: Surroundings, path: str) -> Iterable[Violation]:
    yield from _identity(container, path)
    yield from _ports(container.get("ports") or (), pod, f"{path}.ports")
    yield from _environment(container, path)
    yield from _mounts(container.get("volumeMounts") or (), pod, f"{path}.volumeMounts")
    yield from validate_probes(container, path)
    yield from validate_resources(container.get("resources") or {}, f"{path}.resources")
    yield from _security(container.get("securityContext") or {}, f"{path}.securityContext")


def _identity(container: Obj, path: str) -> Iterable[Violation]:
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        yield required(f"{path}.name")
    for reason in dns1123_label(name) if name else ():
        yield invalid(f"{path}.name", name, reason)
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    for field, values in (
        ("terminationMessagePolicy", ("FallbackToLogsOnError", "File")),
        ("imagePullPolicy", ("Always", "IfNotPresent", "Never")),
    ):
        if container.get(field) not in values:
            yield not_supported(f"{path}.{field}", container.get(field), values)


def _role(container: Obj, field: str, path: str) -> Iterable[Violation]:
    """What an init or an ephemeral container may not have."""
    policy = container.get("restartPolicy")
    if field == "initContainers":
        if policy is not None and policy != "Always":
            yield not_supported(f"{path}.restartPolicy", policy, ("Always",))
        elif policy is None:
            for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if container.get(name) is not None:
                    yield forbidden(
                        f"{path}.{name}", "may not be set for init containers without restartPolicy=Always"
                    )
        return
    if policy is not None:
        yield forbidden(f"{path}.restartPolicy", "may not be set for non-init containers")
    if field == "ephemeralContainers":
        for name in ("ports", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(name):
                yield forbidden(f"{path}.{name}", "cannot be set for an Ephemeral Container")


def _ports(ports: Iterable[Obj], pod: Surroundings, path: str) -> Iterable[Violation]:
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
        if pod.host_network and host_port and host_port != number:
            yield invalid(f"{place}.containerPort", number, "must match `hostPort` when `hostNetwork` is true")
        if port.get("protocol") not in PROTOCOLS:
            yield not_supported(f"{place}.protocol", port.get("protocol"), PROTOCOLS)


def _host_ports(container: Obj, taken: set[tuple[Any, ...]], path: str) -> Iterable[Violation]:
    for index, port in enumerate(container.get("ports") or ()):
        if not port.get("hostPort"):
            continue
        key = (port.get("protocol"), port.get("hostIP") or "", port["hostPort"])
        if key in taken:
            yield duplicate(f"{path}[{index}].hostPort", "/".join(map(str, key)))
        taken.add(key)


def _environment(container: Obj, path: str) -> Iterable[Violation]:
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        if name and variable.get("valueFrom") is None and not environment_name(name):
            continue  # the common case costs no path
        place = f"{path}.env[{index}]"
        if not name:
            yield required(f"{place}.name")
        for reason in environment_name(name) if name else ():
            yield invalid(f"{place}.name", name, reason)
        if variable.get("valueFrom") is not None:
            yield from _value_from(variable, f"{place}.valueFrom")
    for index, source in enumerate(container.get("envFrom") or ()):
        place = f"{path}.envFrom[{index}]"
        chosen = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        if not chosen:
            yield invalid(place, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(chosen) > 1:
            yield invalid(place, "", "may not have more than one field specified at a time")
        for name in chosen:
            if not source[name].get("name"):
                yield required(f"{place}.{name}.name")


def _value_from(variable: Obj, path: str) -> Iterable[Violation]:
    source = variable["valueFrom"]
    chosen = [name for name in _ENV_SOURCES if source.get(name) is not None]
    if not chosen:
        told = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield invalid(path, "", told)
        return
    if variable.get("value"):
        yield invalid(path, "", "may not be specified when `value` is not empty")
    elif len(chosen) > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")
    for name in chosen:
        reference, place = source[name], f"{path}.{name}"
        if name == "fieldRef":
            yield from validate_field_ref(reference, _ENV_FIELDS, place)
        elif name == "resourceFieldRef":
            if not reference.get("resource"):
                yield required(f"{place}.resource")
        elif name != "fileKeyRef":
            yield from _key_ref(reference, place)


def _key_ref(reference: Obj, path: str) -> Iterable[Violation]:
    if not reference.get("name"):
        yield required(f"{path}.name")
    if not reference.get("key"):
        yield required(f"{path}.key")
        return
    for reason in config_map_key(reference["key"]):
        yield invalid(f"{path}.key", reference["key"], reason)


def _mounts(mounts: Iterable[Obj], pod: Surroundings, path: str) -> Iterable[Violation]:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        place = f"{path}[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{place}.name")
        elif name not in pod.volumes:
            yield not_found(f"{place}.name", name)
        if not target:
            yield required(f"{place}.mountPath")
        elif target in seen:
            yield invalid(f"{place}.mountPath", target, "must be unique")
        seen.add(target)
        yield from validate_relative_path(mount.get("subPath") or "", f"{place}.subPath")
        yield from validate_relative_path(mount.get("subPathExpr") or "", f"{place}.subPathExpr")
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid(
                f"{place}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
            )
        propagation = mount.get("mountPropagation")
        if propagation not in (None, "None", "HostToContainer", "Bidirectional"):
            supported = ("Bidirectional", "HostToContainer", "None")
            yield not_supported(f"{place}.mountPropagation", propagation, supported)


def _security(context: Obj, path: str) -> Iterable[Violation]:
    yield from validate_ids(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        told = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            yield invalid(path, context, f"{told} `privileged` to true")
        if "SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            yield invalid(path, context, f"{told} `capabilities.Add` CAP_SYS_ADMIN")


def validate_ids(context: Obj, path: str) -> Iterable[Violation]:
    """The refusals of users and groups in a security context."""
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        number = context.get(field)
        if number is not None and not 0 <= number <= _MAX_ID:
            yield invalid(f"{path}.{field}", number, _ID_RANGE)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= _MAX_ID:
            yield invalid(f"{path}.supplementalGroups[{index}]", group, _ID_RANGE)
