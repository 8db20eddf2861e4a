"""Validation of a whole pod spec, and of a pod template."""

from collections.abc import Iterable

from minikube_py.kinds.podspec.containers import Surroundings, validate_containers, validate_network_ports
from minikube_py.kinds.podspec.placement import validate_placement
from minikube_py.kinds.podspec.resources import validate_pod_claims, validate_pod_resources
from minikube_py.kinds.podspec.security import validate_pod_security
from minikube_py.kinds.podspec.volumes import validate_volumes
from minikube_py.kinds.resourcenames import validate_container_name, validate_resources
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import (
    dns1123_label,
    dns1123_subdomain,
    ip_address,
    qualified_name,
    search_domain,
)
from minikube_py.meta.object_meta import validate_annotations, validate_labels
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION = ("PreemptLowerPriority", "Never")
_MAX_INT32 = 2**31 - 1
_MAX_NAMESERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARS = 3, 32, 2048


def validate_template(template: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a pod template: its labels, annotations and pod spec."""
    metadata = template.get("metadata") or {}
    yield from validate_labels(metadata.get("labels") or {}, f"{path}.labels")
    yield from validate_annotations(metadata.get("annotations") or {}, f"{path}.annotations")
    yield from validate_pod_spec(template.get("spec") or {}, f"{path}.spec", is_pod=False)
    if (template.get("spec") or {}).get("ephemeralContainers"):
        yield forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def validate_lasting_template(spec: Obj, kind: str) -> Iterable[Violation]:
    """The refusals of `spec.template` of a workload whose pods run for ever."""
    yield from validate_template(spec.get("template") or {}, "spec.template")
    yield from validate_lasting(spec, kind)


def validate_lasting(spec: Obj, kind: str) -> Iterable[Violation]:
    """What pods that run for ever may not have in `spec.template`: an end."""
    pod = (spec.get("template") or {}).get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        yield not_supported("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        told = f"activeDeadlineSeconds in {kind} is not Supported"
        yield forbidden("spec.template.spec.activeDeadlineSeconds", told)


def validate_pod_spec(spec: Obj, path: str, *, is_pod: bool = True, pod_name: str = "") -> Iterable[Violation]:
    """The refusals of a pod spec, after defaulting. `is_pod`: of a pod (by that name), not of a template."""
    volumes, claims = spec.get("volumes") or (), spec.get("resourceClaims") or ()
    if spec.get("terminationGracePeriodSeconds") is None:
        yield required(f"{path}.terminationGracePeriodSeconds")
    yield from validate_volumes(volumes, pod_name, f"{path}.volumes")
    yield from validate_pod_claims(claims, f"{path}.resourceClaims")
    pod = Surroundings(
        volumes={volume.get("name") or "": volume for volume in volumes},
        claims=frozenset(claim.get("name") or "" for claim in claims),
        grace=spec.get("terminationGracePeriodSeconds"),
        restart_policy=spec.get("restartPolicy") or "",
        host_users=spec.get("hostUsers") is not False,
        is_pod=is_pod,
    )
    yield from validate_containers(spec, pod, path)
    yield from validate_pod_resources(spec, path)
    yield from validate_network_ports(spec, path, is_pod=is_pod)
    yield from _policies(spec, path)
    yield from validate_pod_security(spec, path)
    yield from validate_placement(spec, path)
    yield from _dns(spec, f"{path}.dnsConfig")
    yield from _gates(spec, path)
    yield from _names(spec, path)
    yield from _hosts(spec, path)
    yield from validate_resources(spec.get("overhead"), validate_container_name, f"{path}.overhead")


def _policies(spec: Obj, path: str) -> Iterable[Violation]:
    for field, values in (("restartPolicy", RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        value = spec.get(field)
        if not value:
            yield required(f"{path}.{field}")
        elif value not in values:
            yield not_supported(f"{path}.{field}", value, values)
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in _PREEMPTION:
        yield not_supported(f"{path}.preemptionPolicy", preemption, _PREEMPTION)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        told = f"must be between 1 and {_MAX_INT32}, inclusive"
        yield invalid(f"{path}.activeDeadlineSeconds", deadline, told)


def _dns(spec: Obj, path: str) -> Iterable[Violation]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            told = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{path}.nameservers", told)
            return
    servers, searches = (config or {}).get("nameservers") or [], (config or {}).get("searches") or []
    if len(servers) > _MAX_NAMESERVERS:
        yield invalid(f"{path}.nameservers", servers, f"must not have more than {_MAX_NAMESERVERS} nameservers")
    for index, server in enumerate(servers):
        for reason in ip_address(server):
            yield invalid(f"{path}.nameservers[{index}]", server, reason)
    if len(searches) > _MAX_SEARCHES:
        yield invalid(f"{path}.searches", searches, f"must not have more than {_MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > _MAX_SEARCH_CHARS:
        told = f"must not have more than {_MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        yield invalid(f"{path}.searches", searches, told)
    for index, search in enumerate(searches):
        for reason in search_domain(search):
            yield invalid(f"{path}.searches[{index}]", search.removesuffix("."), reason)
    for index, option in enumerate((config or {}).get("options") or ()):
        if not option.get("name"):
            yield required(f"{path}.options[{index}]", "must not be empty")


def _names(spec: Obj, path: str) -> Iterable[Violation]:
    for field, rule in (
        ("serviceAccountName", dns1123_subdomain),
        ("nodeName", dns1123_subdomain),
        ("hostname", dns1123_label),
        ("subdomain", dns1123_label),
        ("priorityClassName", dns1123_subdomain),
        ("runtimeClassName", dns1123_subdomain),
    ):
        if value := spec.get(field):
            for reason in rule(value):
                yield invalid(f"{path}.{field}", value, reason)


def _hosts(spec: Obj, path: str) -> Iterable[Violation]:
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        place = f"{path}.hostAliases[{index}]"
        for reason in ip_address(alias.get("ip") or ""):
            yield invalid(f"{place}.ip", alias.get("ip") or "", reason)
        for number, name in enumerate(alias.get("hostnames") or ()):
            for reason in dns1123_subdomain(name):
                yield invalid(f"{place}.hostnames[{number}]", name, reason)


def _gates(spec: Obj, path: str) -> Iterable[Violation]:
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        name = gate.get("name") or ""
        for reason in qualified_name(name):
            yield invalid(f"{path}.schedulingGates[{index}]", name, reason)
        if name in seen:
            yield duplicate(f"{path}.schedulingGates[{index}]", name)
        seen.add(name)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        for reason in qualified_name(gate.get("conditionType") or ""):
            yield invalid(
                f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType") or "", reason
            )
