"""PodSecurity: pods keep to the standards that their namespace's labels ask for (KEP-2579).

Pods are refused, audited and warned of; workloads, whose pods come later, only audited and warned of. A
namespace that begins to enforce more is warned of the pods that it already has. Nothing is exempt.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from minikube_py.apiserver.admission.base import WRITES, Plugin, Surroundings, forbid, name_in, object_of
from minikube_py.apiserver.admission.podsecurity.baseline import (
    APPARMOR_ANNOTATION,
    SECCOMP_CONTAINER,
    SECCOMP_POD,
)
from minikube_py.apiserver.admission.podsecurity.policy import (
    LEVELS,
    PREFIX,
    PRIVILEGED,
    Policy,
    Standard,
    policy_of,
)
from minikube_py.apiserver.admission.podsecurity.standards import details, offences, reasons
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, annotations_of, containers_of, dig, labels_of, name_of
from minikube_py.meta.violations import invalid_error
from minikube_py.registry.base import Attributes

TEMPLATES = {
    "deployments.apps": "spec.template",
    "replicasets.apps": "spec.template",
    "daemonsets.apps": "spec.template",
    "statefulsets.apps": "spec.template",
    "replicationcontrollers": "spec.template",
    "podtemplates": "template",
    "jobs.batch": "spec.template",
    "cronjobs.batch": "spec.jobTemplate.spec.template",
}
"""Where workloads have their pod template."""
PODS = ("pods", "pods/ephemeralcontainers", "pods/resize")
MAX_CHECKED = 3000
AT_ONCE = 200
CHECK_SECONDS = 1.0


class PodSecurity(Plugin):
    """Judges pods, workloads, and namespaces that change what they ask for."""

    name = "PodSecurity"
    operations = WRITES
    resources = frozenset((*PODS, *TEMPLATES, "namespaces"))

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._policies: dict[str, Policy] = {}
        self.registry.follow(Namespace, self._put, self._remove)

    def _put(self, namespace: Obj) -> None:
        self._policies[name_of(namespace)] = policy_of(labels_of(namespace))

    def _remove(self, namespace: Obj) -> None:
        self._policies.pop(name_of(namespace), None)

    async def validate(self, request: Attributes) -> None:
        if request.kind.resource == "namespaces":
            await self._namespace(request)
            return
        policy = self._policies.get(request.namespace) or Policy()
        if request.kind.resource == "pods":
            self._pod(request, policy)
        elif not policy.permits_all:
            template = dig(object_of(request), TEMPLATES[request.kind.resource])
            if template:
                self._tell(request, policy, template)

    def _pod(self, request: Attributes, policy: Policy) -> None:
        request.context.audit[f"{PREFIX}enforce-policy"] = str(policy.enforce)
        pod = object_of(request)
        if policy.permits_all or (request.old is not None and not is_significant(pod, request.old)):
            return
        found = offences(policy.enforce, pod)
        if found:
            self._audit(request, policy, pod)
            raise forbid(request, f'violates PodSecurity "{policy.enforce}": {details(found)}')
        self._tell(request, policy, pod)

    def _audit(self, request: Attributes, policy: Policy, pod: Obj) -> None:
        notes = request.context.audit
        if policy.faults:
            told = ", ".join(f"{fault.field}: {fault.message}" for fault in policy.faults)
            notes[f"{PREFIX}error"] = f"Failed to parse policy: {told}"
        if found := offences(policy.audit, pod):
            notes[f"{PREFIX}audit-violations"] = f'would violate PodSecurity "{policy.audit}": {details(found)}'

    def _tell(self, request: Attributes, policy: Policy, pod: Obj) -> None:
        self._audit(request, policy, pod)
        if found := offences(policy.warn, pod):
            _warn(request, f'would violate PodSecurity "{policy.warn}": {details(found)}')

    async def _namespace(self, request: Attributes) -> None:
        new = policy_of(labels_of(object_of(request)))
        old = policy_of(labels_of(request.old)) if request.old is not None else Policy()
        if new.faults and new.faults != old.faults:
            raise invalid_error(Namespace, name_in(request), new.faults)
        if request.old is not None and _is_stricter(new.enforce, old.enforce):
            for text in await self._existing(request.name, new.enforce):
                _warn(request, text)

    async def _existing(self, namespace: str, standard: Standard) -> list[str]:
        """What to tell of a namespace's pods that do not keep to a standard."""
        entries = self.registry.list(Pod, namespace).entries
        begun, checked = self.clock.monotonic(), 0
        offenders: dict[str, list[str]] = defaultdict(list)
        for entry in entries[:MAX_CHECKED]:
            pod = self.registry.decoded(entry)
            if found := offences(standard, pod):
                offenders[reasons(found)].append(name_of(pod))
            checked += 1
            if checked % AT_ONCE == 0:
                await asyncio.sleep(0)
                if self.clock.monotonic() - begun > CHECK_SECONDS:
                    break
        return existing_pods(namespace, standard, offenders, (checked, len(entries)))


def existing_pods(
    namespace: str, standard: Standard, offenders: dict[str, list[str]], counted: tuple[int, int]
) -> list[str]:
    """The warnings about pods that are there: `offenders` by their reasons; of how many pods how many were
    checked."""
    checked, total = counted
    told = []
    if checked < total:
        told.append(
            f"new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
        )
    if offenders:
        told.append(
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
        )
    return told + sorted(f"{_first_of(names)}: {why}" for why, names in offenders.items())


def _first_of(names: Sequence[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other {'pod' if others == 1 else 'pods'})"


def _is_stricter(new: Standard, old: Standard) -> bool:
    """Whether pods that kept to `old` may not keep to `new`."""
    if new == old or new.level == PRIVILEGED:
        return False
    return new.minor != old.minor or LEVELS.index(new.level) > LEVELS.index(old.level)


def _warn(request: Attributes, text: str) -> None:
    if text not in request.context.warnings:  # a write may be tried again
        request.context.warnings.append(text)


def is_significant(new: Obj, old: Obj) -> bool:
    """Whether an update of a pod can change how it is judged; after others it stays as it was let in."""
    return _judged(new) != _judged(old)


def _judged(pod: Obj) -> Obj:
    notes = annotations_of(pod)
    prefixes = (APPARMOR_ANNOTATION, SECCOMP_CONTAINER, SECCOMP_POD)
    kept = {key: value for key, value in notes.items() if key.startswith(prefixes)}
    contexts = {c.get("name", ""): c.get("securityContext") or {} for c in containers_of(pod.get("spec") or {})}
    return {"annotations": kept, "containers": contexts}
