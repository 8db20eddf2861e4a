"""A container's environment: pure, from its spec, the cluster's objects and the pod's own facts.

Order as in Kubernetes: service variables, then envFrom, then env, later ones winning; `$(NAME)` expands what
is known at that point, `$$` is a dollar sign.
"""

import math
import re
from base64 import b64decode
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from minikube_py.meta.objects import Obj, annotations_of, dig, labels_of, name_of, namespace_of, uid_of
from minikube_py.meta.quantity import parse_quantity

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_DEFAULTED = ("cpu", "memory", "ephemeral-storage")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")
_ESCAPES = {char: f"\\{letter}" for char, letter in zip('\\"\a\b\f\n\r\t\v', '\\"abfnrtv', strict=True)}
MASTER_SERVICE = ("default", "kubernetes")


class ConfigRefused(Exception):
    """The container cannot be configured (reason CreateContainerConfigError); the message is the event's."""


Lookup = Callable[[str, str, str], Obj | None]
"""The ConfigMap or Secret (kind, namespace, name), or None."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What fieldRef and resourceFieldRef can ask beyond the pod object."""

    node_name: str = ""
    host_ip: str = ""
    pod_ips: Sequence[str] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    kubernetes_service: tuple[str, int] = ("10.96.0.1", 443)


def expand(text: str, known: Mapping[str, str]) -> str:
    """`text` with `$(NAME)` replaced where known, and `$$` by `$`."""
    if "$" not in text:
        return text

    def one(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return known.get(match.group(2), match.group(0))

    return _REFERENCE.sub(one, text)


def environment(
    pod: Obj, container: Obj, facts: PodFacts, services: Sequence[Obj], lookup: Lookup
) -> list[tuple[str, str]]:
    """The variables of `container` in order. Errors: ConfigRefused."""
    namespace = namespace_of(pod)
    known: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        known.update(_from(source, namespace, lookup))
    links = pod["spec"].get("enableServiceLinks", True)
    offered = dict(_service_variables(namespace, services, facts, links))
    visible = ChainMap(known, offered)
    for entry in container.get("env") or ():
        value = _value(entry, visible, (pod, container, facts), lookup)
        if value is not None:
            known[entry["name"]] = value
    return list((offered | known).items())


def _from(source: Obj, namespace: str, lookup: Lookup) -> Iterator[tuple[str, str]]:
    prefix = source.get("prefix") or ""
    kind, ref = (
        ("ConfigMap", source["configMapRef"])
        if "configMapRef" in source
        else (
            "Secret",
            source["secretRef"],
        )
    )
    found = lookup(kind, namespace, ref["name"])
    if found is None:
        if ref.get("optional"):
            return
        raise ConfigRefused(f'{kind.lower()} "{ref["name"]}" not found')
    for key, value in (found.get("data") or {}).items():
        yield prefix + key, _text(kind, value)


def _text(kind: str, value: str) -> str:
    return b64decode(value).decode(errors="replace") if kind == "Secret" else value


def _value(
    entry: Obj, known: Mapping[str, str], about: tuple[Obj, Obj, PodFacts], lookup: Lookup
) -> str | None:
    pod, container, facts = about
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value") or "", known)
    if "fieldRef" in source:
        return field_value(source["fieldRef"]["fieldPath"], pod, facts)
    if "resourceFieldRef" in source:
        return resource_value(source["resourceFieldRef"], pod, container, facts)
    kind, ref = (
        ("ConfigMap", source["configMapKeyRef"])
        if "configMapKeyRef" in source
        else (
            "Secret",
            source["secretKeyRef"],
        )
    )
    namespace = namespace_of(pod)
    found = lookup(kind, namespace, ref["name"])
    if found is None:
        if ref.get("optional"):
            return None
        raise ConfigRefused(f'{kind.lower()} "{ref["name"]}" not found')
    data = found.get("data") or {}
    if ref["key"] in data:
        return _text(kind, data[ref["key"]])
    if ref.get("optional"):
        return None
    raise ConfigRefused(f"couldn't find key {ref['key']} in {kind} {namespace}/{ref['name']}")


def field_value(path: str, pod: Obj, facts: PodFacts) -> str:
    """The text of a fieldRef of the downward API. Errors: ConfigRefused where the field is not supported."""
    if match := _SUBSCRIPT.fullmatch(path):
        source = labels_of(pod) if match.group(1) == "labels" else annotations_of(pod)
        return source.get(match.group(2), "")
    if path in ("metadata.labels", "metadata.annotations"):
        source = labels_of(pod) if path.endswith("labels") else annotations_of(pod)
        return "\n".join(f"{key}={quoted(source[key])}" for key in sorted(source))
    values: dict[str, str] = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
        "status.podIP": next(iter(facts.pod_ips), ""),
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path not in values:
        raise ConfigRefused(f"unsupported fieldPath: {path}")
    return values[path]


def quoted(text: str) -> str:
    """`text` in double quotes, as Go's %q prints it."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def resource_value(ref: Obj, pod: Obj, container: Obj, facts: PodFacts) -> str:
    """The number that a resourceFieldRef asks for, in units of its divisor, rounded up.
    A limit that is not set (or 0) is the pod's, or else the node's allocatable. Errors: ConfigRefused where the
    container that it names is not there."""
    if name := ref.get("containerName"):
        every = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
        container = next((c for c in every if c["name"] == name), {})
        if not container:
            raise ConfigRefused(f"container {name} not found")
    side, _, resource = ref["resource"].partition(".")
    amount = dig(container, f"resources.{side}", {}).get(resource)
    if side == "limits" and resource in _DEFAULTED and not parse_quantity(amount or "0"):
        whole = dig(pod, "spec.resources.limits", {}).get(resource)
        amount = whole if parse_quantity(whole or "0") else facts.allocatable.get(resource, amount)
    divisor = ref.get("divisor") or "1"
    if parse_quantity(divisor) == 0:
        divisor = "1"
    return str(math.ceil(Fraction(parse_quantity(amount or "0")) / Fraction(parse_quantity(divisor))))


def _service_variables(
    namespace: str, services: Sequence[Obj], facts: PodFacts, links: bool
) -> Iterator[tuple[str, str]]:
    master = False
    for service in services:
        is_master = (namespace_of(service), name_of(service)) == MASTER_SERVICE
        address = dig(service, "spec.clusterIP")
        if not address or address == "None" or not dig(service, "spec.ports"):
            continue
        if is_master or (links and namespace_of(service) == namespace):
            master = master or is_master
            yield from _variables(name_of(service), address, service["spec"]["ports"])
    if not master:
        host, port = facts.kubernetes_service
        yield from _variables("kubernetes", host, [{"name": "https", "port": port}])


def _variables(name: str, address: str, ports: Sequence[Obj]) -> Iterator[tuple[str, str]]:
    prefix = name.upper().replace("-", "_")
    yield f"{prefix}_SERVICE_HOST", address
    yield f"{prefix}_SERVICE_PORT", str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            yield f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}", str(port["port"])
    for place, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        host = f"[{address}]" if ":" in address else address
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if place == 0:
            yield f"{prefix}_PORT", url
        stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        yield stem, url
        yield f"{stem}_PROTO", protocol.lower()
        yield f"{stem}_PORT", str(port["port"])
        yield f"{stem}_ADDR", address
