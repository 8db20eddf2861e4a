"""Ingress: how HTTP traffic from outside reaches Services."""

from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, NONE
from minikube_py.kinds.networking.ingressrules import validate, validate_status
from minikube_py.kinds.strategy import fresh_status, section
from minikube_py.meta.kind import Column, Kind
from minikube_py.meta.objects import Obj, dig

_SHOWN_HOSTS = 3


def default(ingress: Obj) -> None:
    section(ingress, "spec")


def prepare(ingress: Obj, old: Obj | None) -> None:
    fresh_status(ingress, old)
    if old is None:
        ingress["status"] = {"loadBalancer": {}}


def _class(ingress: Obj, now: datetime) -> str:
    return dig(ingress, "spec.ingressClassName", NONE)


def _hosts(ingress: Obj, now: datetime) -> str:
    hosts = [rule["host"] for rule in dig(ingress, "spec.rules", ()) if rule.get("host")]
    if not hosts:
        return "*"
    shown = ",".join(hosts[:_SHOWN_HOSTS])
    return f"{shown} + {len(hosts) - _SHOWN_HOSTS} more..." if len(hosts) > _SHOWN_HOSTS else shown


def _address(ingress: Obj, now: datetime) -> str:
    points = dig(ingress, "status.loadBalancer.ingress", ())
    return ",".join(sorted({found for one in points if (found := one.get("ip") or one.get("hostname"))}))


def _ports(ingress: Obj, now: datetime) -> str:
    return "80, 443" if dig(ingress, "spec.tls") else "80"


Ingress = Kind(
    "Ingress",
    "networking.k8s.io/v1",
    "ingresses",
    short_names=("ing",),
    subresources=("status",),
    default=default,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    columns=(
        NAME,
        Column("Class", _class, description="The class, which says who serves it"),
        Column("Hosts", _hosts, description="Hosts that requests are matched against before the rules"),
        Column("Address", _address, description="Where the load balancer listens"),
        Column("Ports", _ports, description="Ports that are open"),
        AGE,
    ),
)
