"""Validation of Ingresses: rules, hosts, paths, backends, TLS."""

import ipaddress
from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import (
    dns1035_label,
    dns1123_subdomain,
    path_segment_name,
    port_name,
    port_number,
    wildcard_subdomain,
)
from minikube_py.meta.objects import Obj, annotations_of, dig
from minikube_py.meta.violations import invalid, not_supported, omitted, required

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_NOT_WITHIN = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_THE_END = ("/..", "/.")
_NO_ADDRESS = "must be a DNS name, not an IP address"


def validate(ingress: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of an Ingress."""
    spec = ingress.get("spec") or {}
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and backend is None:
        given = "null" if spec.get("rules") is None else "[]"
        yield omitted("spec", f"{given}: either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _backend(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        yield from _rule(rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        yield from _tls(tls, f"spec.tls[{index}]")
    chosen = spec.get("ingressClassName")
    for reason in dns1123_subdomain(chosen) if chosen is not None else ():
        yield invalid("spec.ingressClassName", chosen, reason)
    noted = annotations_of(ingress).get(CLASS_ANNOTATION)
    if old is None and noted is not None and chosen is not None and noted != chosen:
        told = "must match `ingressClassName` when both are specified"
        yield invalid(f"annotations.{CLASS_ANNOTATION}", noted, told)


def validate_status(ingress: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a status: where the load balancer listens."""
    for index, point in enumerate(dig(ingress, "status.loadBalancer.ingress", ())):
        path = f"status.loadBalancer.ingress[{index}]"
        address, name = point.get("ip") or "", point.get("hostname") or ""
        if address and not _is_address(address):
            yield invalid(
                f"{path}.ip", address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            )
        for reason in dns1123_subdomain(name) if name else ():
            yield invalid(f"{path}.hostname", name, reason)
        if _is_address(name):
            yield invalid(f"{path}.hostname", name, _NO_ADDRESS)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _rule(rule: Obj, path: str) -> Iterable[Violation]:
    host = rule.get("host") or ""
    if _is_address(host):
        yield invalid(f"{path}.host", host, _NO_ADDRESS)
    for reason in _host(host) if host else ():
        yield invalid(f"{path}.host", host, reason)
    http = rule.get("http")
    if http is None:
        return
    paths = http.get("paths") or []
    if not paths:
        yield required(f"{path}.http.paths")
    for index, one in enumerate(paths):
        yield from _path(one, f"{path}.http.paths[{index}]")


def _host(host: str) -> list[str]:
    return wildcard_subdomain(host) if "*" in host else dns1123_subdomain(host)


def _path(one: Obj, path: str) -> Iterable[Violation]:
    type, text = one.get("pathType"), one.get("path") or ""
    if type is None:
        yield required(f"{path}.pathType", "pathType must be specified")
        return
    strict = type in ("Exact", "Prefix")
    if type not in _PATH_TYPES:
        yield not_supported(f"{path}.pathType", type, _PATH_TYPES)
    elif (strict or text) and not text.startswith("/"):
        yield invalid(f"{path}.path", text, "must be an absolute path")
    for part in _NOT_WITHIN if strict else ():
        if part in text:
            yield invalid(f"{path}.path", text, f"must not contain '{part}'")
    for end in _NOT_AT_THE_END if strict else ():
        if text.endswith(end):
            yield invalid(f"{path}.path", text, f"cannot end with '{end}'")
    yield from _backend(one.get("backend") or {}, f"{path}.backend")


def _backend(backend: Obj, path: str) -> Iterable[Violation]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _resource(resource, f"{path}.resource")
    elif service is not None:
        yield from _service(service, path)
    else:
        yield invalid(path, "", "resource or service backend is required")


def _resource(resource: Obj, path: str) -> Iterable[Violation]:
    group = resource.get("apiGroup")
    for reason in dns1123_subdomain(group) if group is not None else ():
        yield invalid(f"{path}.apiGroup", group, reason)
    for field in ("kind", "name"):
        value = resource.get(field) or ""
        if not value:
            yield required(f"{path}.{field}")
        for reason in path_segment_name(value):
            yield invalid(f"{path}.{field}", value, reason)


def _service(service: Obj, path: str) -> Iterable[Violation]:
    name, port = service.get("name") or "", service.get("port") or {}
    if not name:
        yield required(f"{path}.service.name")
    for reason in dns1035_label(name) if name else ():
        yield invalid(f"{path}.service.name", name, reason)
    by_name, by_number = port.get("name") or "", port.get("number") or 0
    if by_name and by_number:
        yield invalid(path, "", "cannot set both port name & port number")
    elif by_name:
        for reason in port_name(by_name):
            yield invalid(f"{path}.service.port.name", by_name, reason)
    elif by_number:
        for reason in port_number(by_number):
            yield invalid(f"{path}.service.port.number", by_number, reason)
    else:
        yield required(path, "port name or number is required")


def _tls(tls: Obj, path: str) -> Iterable[Violation]:
    for index, host in enumerate(tls.get("hosts") or ()):
        for reason in _host(host):
            yield invalid(f"{path}.hosts[{index}]", host, reason)
    secret = tls.get("secretName") or ""
    for reason in dns1123_subdomain(secret) if secret else ():
        yield invalid(f"{path}.secretName", secret, reason)
