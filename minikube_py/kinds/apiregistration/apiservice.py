"""APIService: one group and version of the API, served by this server or by another behind a Service."""

import base64
import binascii
from collections.abc import Iterable
from datetime import datetime

from cryptography import x509

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.strategy import if_absent, section
from minikube_py.meta.kind import USER_METADATA, Column, Kind, Violation
from minikube_py.meta.names import dns1035_label, dns1123_subdomain, path_segment_name, port_number
from minikube_py.meta.objects import Obj, condition, dig, name_of
from minikube_py.meta.violations import forbidden, invalid, required

LOCAL: Obj = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}
"""The condition of an APIService that this server serves itself."""


def default(service: Obj) -> None:
    spec = section(service, "spec")
    if spec.get("service") is not None:
        if_absent(spec["service"], "port", 443)


def prepare(service: Obj, old: Obj | None) -> None:
    """Nobody sets the status of what he creates; what is served here is available at once."""
    if old is not None:
        return
    service["status"] = {}
    if service["spec"].get("service") is None:
        made = service["metadata"].get("creationTimestamp")
        service["status"]["conditions"] = [{**LOCAL, "lastTransitionTime": made}]


def validate(service: Obj, old: Obj | None) -> Iterable[Violation]:
    spec, name = service.get("spec") or {}, name_of(service)
    group, version = spec.get("group") or "", spec.get("version") or ""
    wanted = f"{version}.{group}"
    if name != wanted:
        yield invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"')
    yield from _group_version(group, version)
    for field, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if value <= 0 or value > limit:
            yield invalid(f"spec.{field}", value, f"must be positive and less than {limit}")
    if spec.get("service") is None:
        yield from _local(spec)
    else:
        yield from _remote(spec)


def _group_version(group: str, version: str) -> Iterable[Violation]:
    if not group:
        if version != "v1":
            yield required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    else:
        for reason in dns1123_subdomain(group):
            yield invalid("spec.group", group, reason)
    for reason in dns1035_label(version):
        yield invalid("spec.version", version, reason)


def _local(spec: Obj) -> Iterable[Violation]:
    if spec.get("caBundle"):
        yield forbidden("spec.caBundle", "local APIServices may not have a caBundle")
    if spec.get("insecureSkipTLSVerify"):
        yield forbidden("spec.insecureSkipTLSVerify", "local APIServices may not have insecureSkipTLSVerify")


def _remote(spec: Obj) -> Iterable[Violation]:
    service, bundle = spec["service"], spec.get("caBundle") or ""
    for field in ("namespace", "name"):
        if not service.get(field):
            yield required(f"spec.service.{field}")
    for reason in port_number(service["port"]) if service.get("port") is not None else ():
        yield invalid("spec.service.port", service["port"], f"port is not valid: {reason}")
    if bundle and not is_bundle(bundle):
        yield invalid("spec.caBundle", bundle, "unable to load root certificates")
    if spec.get("insecureSkipTLSVerify") and bundle:
        told = "may not be true if caBundle is present"
        yield invalid("spec.insecureSkipTLSVerify", True, told)


def is_bundle(bundle: str) -> bool:
    """Whether base64 text holds at least one PEM certificate."""
    try:
        return bool(x509.load_pem_x509_certificates(base64.b64decode(bundle, validate=True)))
    except (ValueError, binascii.Error):
        return False


def _service(service: Obj, now: datetime) -> str:
    backend = dig(service, "spec.service")
    return f"{backend.get('namespace', '')}/{backend.get('name', '')}" if backend else "Local"


def _available(service: Obj, now: datetime) -> str:
    found = condition(service, "Available")
    if found is None:
        return "Unknown"
    status = found.get("status") or ""
    return status if status == "True" else f"{status} ({found.get('reason') or ''})"


APIService = Kind(
    "APIService",
    "apiregistration.k8s.io/v1",
    "apiservices",
    categories=("api-extensions",),
    namespaced=False,
    name_rule=path_segment_name,
    subresources=("status",),
    status_keeps=USER_METADATA,
    default=default,
    prepare=prepare,
    validate=validate,
    columns=(
        NAME,
        Column("Service", _service, description="The Service behind it; Local: this server"),
        Column("Available", _available, description="Whether it is available"),
        AGE,
    ),
    unconditional_update=False,
)
