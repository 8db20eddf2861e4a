"""Validation of a whole pod spec, and of a pod template."""

from collections.abc import Iterable

from minikube_py.kinds.podspec.containers import Surroundings, validate_containers, validate_ids
from minikube_py.kinds.podspec.placement import validate_placement
from minikube_py.kinds.podspec.volumes import validate_volumes
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain, ip_address, qualified_name
from minikube_py.meta.object_meta import validate_annotations, validate_labels
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import NOT_NEGATIVE, duplicate, forbidden, invalid, not_supported, required

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_MAX_INT32 = 2**31 - 1


def validate_template(template: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a pod template: its labels, annotations and pod spec."""
    metadata = template.get("metadata") or {}
    yield from validate_labels(metadata.get("labels") or {}, f"{path}.metadata.labels")
    yield from validate_annotations(metadata.get("annotations") or {}, f"{path}.metadata.annotations")
    yield from validate_pod_spec(template.get("spec") or {}, f"{path}.spec")
    if (template.get("spec") or {}).get("ephemeralContainers"):
        yield forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def validate_lasting_template(spec: Obj, kind: str) -> Iterable[Violation]:
    """The refusals of `spec.template` of a workload whose pods run for ever."""
    pod = (spec.get("template") or {}).get("spec") or {}
    yield from validate_template(spec.get("template") or {}, "spec.template")
    if pod.get("restartPolicy") != "Always":
        yield not_supported("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        told = f"activeDeadlineSeconds in {kind} is not Supported"
        yield forbidden("spec.template.spec.activeDeadlineSeconds", told)


def validate_pod_spec(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a pod spec, after defaulting."""
    volumes = spec.get("volumes") or ()
    yield from validate_volumes(volumes, f"{path}.volumes")
    names = {volume.get("name") for volume in volumes}
    yield from validate_containers(spec, Surroundings(names, bool(spec.get("hostNetwork"))), path)
    yield from _policies(spec, path)
    yield from _names(spec, path)
    yield from validate_placement(spec, path)
    yield from validate_ids(spec.get("securityContext") or {}, f"{path}.securityContext")
    yield from _hosts(spec, path)
    yield from _gates(spec, path)


def _policies(spec: Obj, path: str) -> Iterable[Violation]:
    for field, values in (("restartPolicy", RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        value = spec.get(field)
        if not value:
            yield required(f"{path}.{field}")
        elif value not in values:
            yield not_supported(f"{path}.{field}", value, values)
    if spec.get("dnsPolicy") == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        told = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield required(f"{path}.dnsConfig.nameservers", told)
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in ("Never", "PreemptLowerPriority"):
        supported = ("Never", "PreemptLowerPriority")
        yield not_supported(f"{path}.preemptionPolicy", preemption, supported)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        told = f"must be between 1 and {_MAX_INT32}, inclusive"
        yield invalid(f"{path}.activeDeadlineSeconds", deadline, told)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield invalid(
            f"{path}.terminationGracePeriodSeconds", spec["terminationGracePeriodSeconds"], NOT_NEGATIVE
        )
    system = spec.get("os")
    if system is not None and not system.get("name"):
        yield required(f"{path}.os.name")
    elif system is not None and system["name"] not in ("linux", "windows"):
        yield not_supported(f"{path}.os", system["name"], ("linux", "windows"))


def _names(spec: Obj, path: str) -> Iterable[Violation]:
    for field, rule in (
        ("serviceAccountName", dns1123_subdomain),
        ("nodeName", dns1123_subdomain),
        ("hostname", dns1123_label),
        ("subdomain", dns1123_label),
        ("priorityClassName", dns1123_subdomain),
        ("runtimeClassName", dns1123_subdomain),
        ("schedulerName", dns1123_subdomain),
    ):
        if value := spec.get(field):
            for reason in rule(value):
                yield invalid(f"{path}.{field}", value, reason)


def _hosts(spec: Obj, path: str) -> Iterable[Violation]:
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        place = f"{path}.hostAliases[{index}]"
        for reason in ip_address(alias.get("ip") or ""):
            yield invalid(f"{place}.ip", alias.get("ip") or "", reason)
        for name in alias.get("hostnames") or ():
            for reason in dns1123_subdomain(name):
                yield invalid(f"{place}.hostnames", name, reason)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        told = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid(f"{path}.shareProcessNamespace", True, told)


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
