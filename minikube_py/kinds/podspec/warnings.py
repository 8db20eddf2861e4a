"""What a client is warned of that stores a pod, or a workload with a pod template: not wrong, but hardly meant.

The words are the v1.34 API server's, which kubectl shows after "Warning: ". A pod is looked at once, when it is
created; a template whenever its workload's spec changes.
"""

from collections.abc import Callable, Iterable, Iterator

from minikube_py.kinds.podspec.apparmor import deprecated_annotations
from minikube_py.kinds.podspec.overlaps import overlapping_paths
from minikube_py.meta.names import dns1123_label
from minikube_py.meta.objects import Obj, annotations_of, dig, name_of
from minikube_py.meta.quantity import canonical, is_quantity, parse_quantity

NODE_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": ("v1.16", "priorityClassName"),
    "security.alpha.kubernetes.io/sysctls": ("v1.11", "sysctls"),
    "security.alpha.kubernetes.io/unsafe-sysctls": ("v1.11", "sysctls"),
}
VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
NO_MATCH = "a null labelSelector results in matching no pod"
DNS_LABEL = "which can result in surprising behavior; a DNS label is recommended"
WHOLE = ("memory", "ephemeral-storage")


def pod_warnings(pod: Obj, old: Obj | None) -> Iterable[str]:
    """The warnings about a pod that is created; none about an update."""
    if old is not None:
        return
    yield from deprecated_annotations(pod)
    yield from _name(pod, "the Pod's hostname")
    yield from _spec_warnings(pod, "")


def template_warnings(
    template: str = "spec.template", *, names_pods: bool = False
) -> Callable[[Obj, Obj | None], Iterable[str]]:
    """The rule of a workload that makes pods of `template`; `names_pods`: its name is part of theirs."""

    def warn(workload: Obj, old: Obj | None) -> Iterable[str]:
        found = dig(workload, template)
        if old is None and names_pods:
            yield from _name(workload, "Pod names and hostnames")
        if not found or (old is not None and workload["spec"] == old["spec"]):
            return
        yield from deprecated_annotations(found, f"{template}.", template=True)
        yield from _spec_warnings(found, f"{template}.")

    return warn


def claim_warnings(spec: Obj, path: str) -> Iterator[str]:
    """The warnings about the spec of a claim, or of a template of one."""
    for side in ("requests", "limits"):
        amount = dig(spec, f"resources.{side}.storage")
        if amount is not None and _is_fraction(amount):
            yield _fractional(f"{path}.resources.{side}[storage]", amount)


def _name(obj: Obj, what: str) -> Iterator[str]:
    name = name_of(obj)
    reasons = dns1123_label(name) if name else []
    if reasons:
        yield f"metadata.name: this is used in {what}, {DNS_LABEL}: [{' '.join(reasons)}]"


def _spec_warnings(holder: Obj, base: str) -> Iterator[str]:
    """`holder` is a pod or template; `base` its place, empty or with a dot at its end."""
    spec, path = holder.get("spec") or {}, f"{base}spec"
    yield from _placement(spec, path)
    for key, (version, instead) in ANNOTATIONS.items():
        if key in annotations_of(holder):
            told = f'non-functional in {version}+; use the "{instead}" field instead'
            yield f"{base}metadata.annotations[{key}]: {told}"
    yield from _volumes(spec.get("volumes") or (), path)
    yield from _repeated(spec, path)
    for name in WHOLE:
        amount = (spec.get("overhead") or {}).get(name)
        if amount is not None and _is_fraction(amount):
            yield _fractional(f"{path}.overhead[{name}]", amount)
    yield from _seccomp(holder, base)
    for container, place in _containers(spec, path):
        yield from _resources(container, place)
        yield from _hidden(container.get("env") or (), f"{place}.env")
    yield from _ports(spec, path)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        told = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path}.terminationGracePeriodSeconds: {told}"
    if spec.get("affinity"):
        yield from _affinity_terms(spec, path)


def _containers(spec: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield container, f"{path}.{field}[{index}]"


def _label(key: str) -> str:
    known = NODE_LABELS.get(key)
    return f'deprecated since {known[0]}; use "{known[1]}" instead' if known else ""


def _placement(spec: Obj, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if told := _label(key):
            yield f"{path}.nodeSelector[{key}]: {told}"
    affinity, place = (spec.get("affinity") or {}).get("nodeAffinity") or {}, f"{path}.affinity.nodeAffinity"
    hard, soft = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    )
    for index, term in enumerate((affinity.get(hard) or {}).get("nodeSelectorTerms") or ()):
        yield from _term(term, f"{place}.{hard}.nodeSelectorTerms[{index}]")
    for index, preferred in enumerate(affinity.get(soft) or ()):
        yield from _term(preferred.get("preference") or {}, f"{place}.{soft}[{index}].preference")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        place, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey") or ""
        if told := _label(key):
            yield f"{place}.topologyKey: {key} is {told}"
        if constraint.get("labelSelector") is None:
            yield f"{place}.labelSelector: {NO_MATCH}"


def _term(term: Obj, path: str) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        key = expression.get("key") or ""
        if told := _label(key):
            yield f"{path}.matchExpressions[{index}].key: {key} is {told}"


def _affinity_terms(spec: Obj, path: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        for manner, inner in (("required", ""), ("preferred", "podAffinityTerm")):
            field = f"{manner}DuringSchedulingIgnoredDuringExecution"
            for index, entry in enumerate(dig(spec, f"affinity.{kind}.{field}") or ()):
                term = (entry.get(inner) or {}) if inner else entry
                if term.get("labelSelector") is None:
                    place = f"{path}.affinity.{kind}.{field}[{index}]"
                    yield f"{'.'.join(filter(None, (place, inner)))}.labelSelector: {NO_MATCH}"


def _volumes(volumes: Iterable[Obj], path: str) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        for field in volume.keys() & VOLUMES.keys():
            if volume[field] is not None:
                shown = "storageOS" if field == "storageos" else field
                yield f"{path}.volumes[{index}].{shown}: {VOLUMES[field]}"
        if "ephemeral" in volume and (claim := dig(volume, "ephemeral.volumeClaimTemplate.spec")):
            yield from claim_warnings(claim, f"{path}.volumes[{index}].ephemeral.volumeClaimTemplate.spec")
    for volume in volumes:
        yield from overlapping_paths(volume)


def _repeated(spec: Obj, path: str) -> Iterator[str]:
    for field, key, what in (("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")):
        seen: set[str] = set()
        for index, entry in enumerate(spec.get(field) or ()):
            value = entry.get(key) or ""
            if value in seen:
                yield f'{path}.{field}[{index}].{key}: duplicate {what} "{value}"'
            seen.add(value)
    for index, entry in enumerate(spec.get("imagePullSecrets") or ()):
        if not entry.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _seccomp(holder: Obj, base: str) -> Iterator[str]:
    spec, annotations = holder.get("spec") or {}, annotations_of(holder)
    if not annotations:
        return
    told = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    if SECCOMP_POD in annotations and not dig(spec, "securityContext.seccompProfile"):
        yield f"{base}metadata.annotations[{SECCOMP_POD}]: {told}"
    for container, _ in _containers(spec, ""):
        key = f"{SECCOMP_CONTAINER}{container.get('name')}"
        if key in annotations and not dig(container, "securityContext.seccompProfile"):
            yield f"{base}metadata.annotations[{key}]: {told}"


def _resources(container: Obj, path: str) -> Iterator[str]:
    resources = container.get("resources") or {}
    for name in WHOLE if resources else ():
        for side in ("limits", "requests"):
            amount = (resources.get(side) or {}).get(name)
            if amount is not None and _is_fraction(amount):
                yield _fractional(f"{path}.resources.{side}[{name}]", amount)


def _is_fraction(amount: str) -> bool:
    number = str(amount).rstrip("EPTGMKki")
    return not number.isdecimal() and is_quantity(amount) and parse_quantity(amount).denominator != 1


def _fractional(path: str, amount: str) -> str:
    return f'{path}: fractional byte value "{canonical(amount)}" is invalid, must be an integer'


def _hidden(env: Iterable[Obj], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(env):
        name, value = variable.get("name") or "", variable.get("value") or ""
        own = f"$({name})"
        if name in seen and (variable.get("valueFrom") is not None or value == own or own not in value):
            told = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{path}[{index}]: {told}"
        seen.add(name)


def _ports(spec: Obj, path: str) -> Iterator[str]:
    """Ports that are told more than once, over all containers."""
    known: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    for container, place in _containers(spec, path):
        for index, port in enumerate(container.get("ports") or ()):
            where, host, address = (
                f"{place}.ports[{index}]",
                port.get("hostPort") or 0,
                port.get("hostIP") or "",
            )
            number, protocol = port.get("containerPort") or 0, port.get("protocol") or "TCP"
            if address and not host:
                shown = f"Name:{port.get('name') or ''} HostPort:0 ContainerPort:{number} Protocol:{protocol}"
                yield f"{where}: hostIP set without hostPort: {{{shown} HostIP:{address}}}"
            others = known.setdefault((number, protocol), [])
            for there, its_address, its_host in others:
                if (its_address, its_host) == (address, host):
                    yield f"{where}: duplicate port definition with {there}"
                elif not host or not its_host:
                    yield f"{where}: overlapping port definition with {there}"
                elif host == its_host and bool(address) != bool(its_address):
                    yield f"{where}: dangerously ambiguous port definition with {there}"
            others.append((where, address, host))
