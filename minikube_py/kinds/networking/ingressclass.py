"""IngressClass: which controller serves Ingresses of that class."""

from collections.abc import Iterable
from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, NONE
from minikube_py.kinds.strategy import count_generation, if_absent
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain, path_segment_name
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, immutable, invalid, not_supported, required, too_long

_MAX_CONTROLLER = 250
_SCOPES = ("Cluster", "Namespace")


def default(ingress_class: Obj) -> None:
    parameters = dig(ingress_class, "spec.parameters")
    if parameters is not None:
        if_absent(parameters, "scope", "Cluster")


def validate(ingress_class: Obj, old: Obj | None) -> Iterable[Violation]:
    if old is not None:
        yield from immutable(ingress_class, old, "spec.controller")
        return
    spec = ingress_class.get("spec") or {}
    controller = spec.get("controller") or ""
    if len(controller.encode()) > _MAX_CONTROLLER:
        yield too_long("spec.controller", _MAX_CONTROLLER)
    yield from domain_prefixed_path(controller, "spec.controller")
    if spec.get("parameters") is not None:
        yield from _parameters(spec["parameters"])


def domain_prefixed_path(value: str, path: str) -> Iterable[Violation]:
    """The refusals of what must be a domain, a slash, and a path: `acme.io/ingress-controller`."""
    domain, slash, rest = value.partition("/")
    if not value:
        yield required(path)
    elif not slash or not domain or not rest:
        yield invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        for reason in dns1123_subdomain(domain):
            yield invalid(path, domain, reason)
        if not all(char.isascii() and (char.isalnum() or char in "/:@!$&'()*+,;=~._-%") for char in rest):
            yield invalid(path, rest, "Invalid path")


def _parameters(parameters: Obj) -> Iterable[Violation]:
    path = "spec.parameters"
    for reason in dns1123_subdomain(parameters["apiGroup"]) if parameters.get("apiGroup") is not None else ():
        yield invalid(f"{path}.apiGroup", parameters["apiGroup"], reason)
    for field, missing in (("kind", "kind is required"), ("name", "name is required")):
        value = parameters.get(field) or ""
        if not value:
            yield required(f"{path}.{field}", missing)
        for reason in path_segment_name(value):
            yield invalid(f"{path}.{field}", value, reason)
    yield from _scope(parameters, path)


def _scope(parameters: Obj, path: str) -> Iterable[Violation]:
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        yield required(f"{path}.scope")
    elif scope not in _SCOPES:
        yield not_supported(f"{path}.scope", scope, _SCOPES)
    elif scope == "Namespace" and not namespace:
        yield required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Cluster" and namespace is not None:
        yield forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    if scope == "Namespace" and namespace:
        for reason in dns1123_label(namespace):
            yield invalid(f"{path}.namespace", namespace, reason)


def _shown_parameters(ingress_class: Obj, now: datetime) -> str:
    parameters = dig(ingress_class, "spec.parameters")
    if parameters is None:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


IngressClass = Kind(
    "IngressClass",
    "networking.k8s.io/v1",
    "ingressclasses",
    namespaced=False,
    default=default,
    prepare=count_generation,
    validate=validate,
    columns=(
        NAME,
        Column("Controller", "spec.controller", description="Controller that is responsible for this class"),
        Column("Parameters", _shown_parameters, description="An object with the controller's settings"),
        AGE,
    ),
)
