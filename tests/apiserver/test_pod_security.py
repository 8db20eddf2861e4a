"""The Pod Security Standards, control by control, and what clients are told of them."""

from typing import Any

import pytest
from api_cluster import Client, Cluster, Kubectl

from minikube_py.apiserver.admission.podsecurity.policy import LATEST, Policy, Standard, policy_of
from minikube_py.apiserver.admission.podsecurity.standards import details, offences

FIELDS = ("initContainers", "containers", "ephemeralContainers")
BASELINE, RESTRICTED = Standard("baseline"), Standard("restricted")
HARD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
PODS = "/api/v1/namespaces/{}/pods"
MERGE = "application/merge-patch+json"


def pod(field: str = "containers", container: Any = None, **spec: Any) -> dict[str, Any]:
    """A hardened pod whose container "c" of that field has more, or other, settings."""
    made: dict[str, Any] = {"name": "c", "image": "i", "securityContext": dict(HARD)}
    given = dict(container or {})
    made["securityContext"] |= given.pop("securityContext", {})
    made |= given
    plain = {"name": "plain", "image": "i", "securityContext": dict(HARD)}
    metadata = {"name": "p", "annotations": spec.pop("annotations", {})}
    return {"metadata": metadata, "spec": {"containers": [plain], field: [made], **spec}}


def security(**settings: Any) -> dict[str, Any]:
    return {"securityContext": settings}


CONTAINERS: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "capabilities",
        "baseline",
        security(capabilities={"add": ["NET_RAW", "CHOWN", "BPF"]}),
        'non-default capabilities (container "c" must not include "BPF", "NET_RAW" in '
        "securityContext.capabilities.add)",
    ),
    (
        "privileged",
        "baseline",
        security(privileged=True),
        'privileged (container "c" must not set securityContext.privileged=true)',
    ),
    (
        "ports",
        "baseline",
        {"ports": [{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]},
        'hostPort (container "c" uses hostPorts 443, 80)',
    ),
    (
        "probe",
        "baseline",
        {"livenessProbe": {"httpGet": {"host": "1.2.3.4"}}},
        'probe or lifecycle host (container "c" uses probe or lifecycle host "1.2.3.4")',
    ),
    (
        "hook",
        "baseline",
        {"lifecycle": {"preStop": {"tcpSocket": {"host": "b"}, "httpGet": {"host": "a"}}}},
        'probe or lifecycle host (container "c" uses probe or lifecycle hosts "a", "b")',
    ),
    (
        "procMount",
        "baseline",
        security(procMount="Unmasked"),
        'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ),
    (
        "seLinux type",
        "baseline",
        security(seLinuxOptions={"type": "spc_t"}),
        'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t")',
    ),
    (
        "seLinux user and role",
        "baseline",
        security(seLinuxOptions={"user": "u", "role": "r", "type": "container_t"}),
        'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: user may not be set; role '
        "may not be set)",
    ),
    (
        "seccomp off",
        "baseline",
        security(seccompProfile={"type": "Unconfined"}),
        'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    (
        "appArmor off",
        "baseline",
        security(appArmorProfile={"type": "Unconfined"}),
        'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
    ),
    (
        "host process",
        "baseline",
        security(windowsOptions={"hostProcess": True}),
        'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)',
    ),
    (
        "escalation",
        "restricted",
        security(allowPrivilegeEscalation=True),
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false)",
    ),
    (
        "capabilities kept and added",
        "restricted",
        security(capabilities={"add": ["CHOWN", "NET_BIND_SERVICE"]}),
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; '
        'container "c" must not include "CHOWN" in securityContext.capabilities.add)',
    ),
    (
        "root",
        "restricted",
        security(runAsNonRoot=False),
        'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
    ),
    (
        "perhaps root",
        "restricted",
        security(runAsNonRoot=None),
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
    ),
    ("user 0", "restricted", security(runAsUser=0), 'runAsUser=0 (container "c" must not set runAsUser=0)'),
    (
        "seccomp unsaid",
        "restricted",
        security(seccompProfile=None),
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" '
        'or "Localhost")',
    ),
    (
        "seccomp off, told once",
        "restricted",
        security(seccompProfile={"type": "Unconfined"}),
        'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("level", "container", "told"), [case[1:] for case in CONTAINERS], ids=[c[0] for c in CONTAINERS]
)
def test_control_of_containers(field: str, level: str, container: dict[str, Any], told: str) -> None:
    """Each control refuses the setting in every sort of container, and lets the hardened pod pass."""
    assert details(offences(Standard(level), pod(field, container))) == told
    assert offences(Standard(level), pod(field)) == []


@pytest.mark.parametrize(
    ("level", "spec", "told"),
    [
        (
            "baseline",
            {"hostNetwork": True, "hostIPC": True},
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            "baseline",
            {"volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "hostPath": {}}]},
            'hostPath volumes (volumes "a", "b")',
        ),
        (
            "baseline",
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}},
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            "baseline",
            {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}},
            "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
            '"container.apparmor.security.beta.kubernetes.io/c="unconfined"")',
        ),
        (
            "baseline",
            {"securityContext": {"seLinuxOptions": {"type": "x"}, "windowsOptions": {"hostProcess": True}}},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x"), hostProcess (pod '
            "must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            "restricted",
            {
                "volumes": [
                    {"name": "a", "hostPath": {}},
                    {"name": "b", "nfs": {}},
                    {"name": "c", "emptyDir": {}},
                ]
            },
            'restricted volume types (volumes "a", "b" use restricted volume types "hostPath", "nfs")',
        ),
        (
            "restricted",
            {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod must "
            "not set runAsUser=0)",
        ),
    ],
)
def test_control_of_pods(level: str, spec: dict[str, Any], told: str) -> None:
    """Controls of the pod's own settings."""
    assert details(offences(Standard(level), pod(**spec))) == told


@pytest.mark.parametrize(
    ("minor", "container", "spec", "number"),
    [
        (7, security(allowPrivilegeEscalation=True), {}, 0),
        (8, security(allowPrivilegeEscalation=True), {}, 1),
        (24, security(allowPrivilegeEscalation=True), {"os": {"name": "windows"}}, 1),
        (25, security(allowPrivilegeEscalation=True), {"os": {"name": "windows"}}, 0),
        (21, security(capabilities={"add": ["CHOWN"], "drop": []}), {}, 0),
        (22, security(capabilities={"add": ["CHOWN"], "drop": []}), {}, 1),
        (22, security(runAsUser=0), {}, 0),
        (23, security(runAsUser=0), {}, 1),
        (18, security(seccompProfile={"type": "Unconfined"}), {}, 0),
        (19, security(seccompProfile={"type": "Unconfined"}), {}, 1),
        (33, {"startupProbe": {"tcpSocket": {"host": "h"}}}, {}, 0),
        (34, {"startupProbe": {"tcpSocket": {"host": "h"}}}, {}, 1),
        (30, security(seLinuxOptions={"type": "container_engine_t"}), {}, 1),
        (31, security(seLinuxOptions={"type": "container_engine_t"}), {}, 0),
        (26, {}, {"securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}}, 1),
        (27, {}, {"securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}}, 0),
        (28, {}, {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout"}]}}, 1),
        (29, {}, {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout"}]}}, 0),
        (31, {}, {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_wmem"}]}}, 1),
        (32, {}, {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_wmem"}]}}, 0),
        (10, {}, {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}, 1),
        (19, {}, {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}, 0),
    ],
)
def test_versions(minor: int, container: dict[str, Any], spec: dict[str, Any], number: int) -> None:
    """A control applies from its own version on."""
    assert len(offences(Standard("restricted", minor), pod("containers", container, **spec))) == number


def test_bare_pod_is_told_all_at_once() -> None:
    """A pod that says nothing hears the four classic complaints, in their order."""
    bare = {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}
    assert details(offences(RESTRICTED, bare)) == (
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation='
        'false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )
    assert offences(BASELINE, bare) == []


LABEL = "pod-security.kubernetes.io/"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, Policy()),
        (
            {"enforce": "baseline"},
            Policy(Standard("baseline"), Standard(), Standard("baseline")),
        ),
        (
            {"enforce": "restricted", "enforce-version": "v1.24", "warn": "privileged"},
            Policy(Standard("restricted", 24), Standard(), Standard()),
        ),
        (
            {"enforce": "restricted", "enforce-version": "v1.24", "warn-version": "v1.30", "audit": "baseline"},
            Policy(Standard("restricted", 24), Standard("baseline"), Standard("restricted", 30)),
        ),
    ],
)
def test_policy_of_labels(labels: dict[str, str], expected: Policy) -> None:
    """Labels give the policy; what is enforced is warned of unless something else is said."""
    assert policy_of({LABEL + key: value for key, value in labels.items()}) == expected


def test_unreadable_labels_are_enforced_as_restricted() -> None:
    """A level that means nothing is the strictest to enforce, and open otherwise."""
    found = policy_of({f"{LABEL}enforce": "x", f"{LABEL}audit": "x", f"{LABEL}warn-version": "1.2"})
    assert (found.enforce, found.audit, found.warn) == (
        Standard("restricted"),
        Standard(),
        Standard("restricted", LATEST),
    )
    assert [fault.field for fault in found.faults] == [
        f"metadata.labels[{LABEL}enforce]",
        f"metadata.labels[{LABEL}audit]",
        f"metadata.labels[{LABEL}warn-version]",
    ]


async def namespace(admin: Client, name: str, **labels: str) -> Any:
    given = {f"{LABEL}{key}".replace("_", "-"): value for key, value in labels.items()}
    return await admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": given}})


def bare(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


async def test_label_is_refused(admin: Client) -> None:
    """A namespace with a level that does not exist is invalid."""
    answer = await namespace(admin, "wrong", enforce="strict")
    assert (answer.code, answer["message"]) == (
        422,
        f'Namespace "wrong" is invalid: metadata.labels[{LABEL}enforce]: Invalid value: "strict": must be one '
        "of privileged, baseline, restricted",
    )


async def test_every_way_in_is_guarded(cluster: Cluster, admin: Client) -> None:
    """Creating, applying, dry-running and debugging pods all meet the standard; a template only warns."""
    await namespace(admin, "hard", enforce="restricted")
    path = PODS.format("hard")
    refused = (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    )
    apply = {"apiVersion": "v1", "kind": "Pod", **bare("p")}
    answers = [
        await admin.post(path, bare("p")),
        await admin.post(f"{path}?dryRun=All", bare("p")),
        await admin.call("PATCH", f"{path}/p?fieldManager=t", apply, type="application/apply-patch+yaml"),
    ]
    made = await admin.post(path, pod())
    debugger = {"name": "d", "image": "i"}
    patch = {"spec": {"ephemeralContainers": [debugger]}}
    debugged = await admin.call("PATCH", f"{path}/p/ephemeralcontainers", patch, type=MERGE)
    patch["spec"]["ephemeralContainers"] = [debugger | security(**HARD)]
    hardened = await admin.call("PATCH", f"{path}/p/ephemeralcontainers", patch, type=MERGE)
    labelled = await admin.call("PATCH", f"{path}/p", {"metadata": {"labels": {"a": "b"}}}, type=MERGE)
    assert [answer.code for answer in answers] == [403, 403, 403]
    assert [answer["message"].startswith(refused) for answer in answers] == [True, True, True]
    assert (made.code, debugged.code, hardened.code, labelled.code) == (201, 403, 200, 200)


async def test_template_is_warned_of(admin: Client) -> None:
    """A Deployment of pods that will be refused is stored, with a warning; enforcing implies warning."""
    await namespace(admin, "hard", enforce="baseline", enforce_version="v1.30")
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"hostPID": True, **bare("x")["spec"]}}
    deployment = {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    answer = await admin.post("/apis/apps/v1/namespaces/hard/deployments", deployment)
    assert (answer.code, answer.headers.getall("Warning")) == (
        201,
        ['299 - "would violate PodSecurity \\"baseline:v1.30\\": host namespaces (hostPID=true)"'],
    )


async def test_namespace_is_warned_of_its_pods(admin: Client, kubectl: Kubectl) -> None:
    """Labelling a namespace tells which of its pods would be refused now."""
    await admin.post("/api/v1/namespaces", {"metadata": {"name": "old"}})
    for name in ("b", "a", "c"):
        await admin.post(PODS.format("old"), bare(name))
    await admin.post(PODS.format("old"), {**pod(hostNetwork=True), "metadata": {"name": "net"}})
    done = await kubectl("label", "ns", "old", f"{LABEL}enforce=restricted")
    refused = await kubectl("run", "x", "--image=i", "-n", "old", check=False)
    classic = (
        "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    )
    assert done.stderr.splitlines() == [
        'Warning: existing pods in namespace "old" violate the new PodSecurity enforce level '
        '"restricted:latest"',
        f"Warning: a (and 2 other pods): {classic}",
        "Warning: net: host namespaces",
    ]
    assert refused.stderr.startswith(
        'Error from server (Forbidden): pods "x" is forbidden: violates PodSecurity "restricted:latest": '
    )
