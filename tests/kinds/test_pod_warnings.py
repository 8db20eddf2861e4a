"""What clients are warned of that store pods and workloads."""

from typing import Any

import pytest

from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj


def pod(container: Obj | None = None, name: str = "web", annotations: Obj | None = None, **spec: Any) -> Obj:
    main = {"name": "main", "image": "app:1"} | (container or {})
    return {
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"containers": [main], **spec},
    }


ENV = [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "3"}]
PORTS = [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "TCP", "hostPort": 81}]
AWAY = [{"containerPort": 80, "protocol": "TCP", "hostIP": "10.0.0.1"}]
PATHS = [{"key": "a", "path": "x"}, {"key": "b", "path": "x/y"}]
TERM = {"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}]}
HARD = "requiredDuringSchedulingIgnoredDuringExecution"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/main"
NO_MATCH = "a null labelSelector results in matching no pod"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (pod(), []),
        (
            pod(name="a.b"),
            [
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
                "a DNS label is recommended: [must not contain dots]"
            ],
        ),
        (
            pod({"env": ENV}),
            [
                'spec.containers[0].env[2]: hides previous definition of "A", '
                "which may be dropped when using apply"
            ],
        ),
        (
            pod({"resources": {"limits": {"memory": "100m"}}}),
            [
                'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, '
                "must be an integer"
            ],
        ),
        (
            pod({"ports": PORTS}),
            ["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
        ),
        (
            pod({"ports": AWAY}),
            [
                "spec.containers[0].ports[0]: hostIP set without hostPort: "
                "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}"
            ],
        ),
        (
            pod(nodeSelector={"beta.kubernetes.io/arch": "amd64"}),
            [
                "spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; "
                'use "kubernetes.io/arch" instead'
            ],
        ),
        (
            pod(affinity={"nodeAffinity": {HARD: {"nodeSelectorTerms": [TERM]}}}),
            [
                f"spec.affinity.nodeAffinity.{HARD}.nodeSelectorTerms[0].matchExpressions[0].key: "
                'beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead'
            ],
        ),
        (
            pod(affinity={"podAntiAffinity": {HARD: [{"topologyKey": "zone"}]}}),
            [f"spec.affinity.podAntiAffinity.{HARD}[0].labelSelector: {NO_MATCH}"],
        ),
        (
            pod(volumes=[{"name": "v", "gitRepo": {"repository": "r"}}]),
            ["spec.volumes[0].gitRepo: deprecated in v1.11"],
        ),
        (
            pod(volumes=[{"name": "v", "configMap": {"name": "c", "items": PATHS}}]),
            ['volume "v" (ConfigMap "c"): overlapping paths: "x/y" with "x"'],
        ),
        (
            pod(volumes=[{"name": "v", "projected": {"sources": [{}]}}]),
            ['volume "v" (Projected) has no sources provided'],
        ),
        (
            pod(imagePullSecrets=[{"name": "a"}, {"name": "a"}, {}]),
            [
                'spec.imagePullSecrets[1].name: duplicate name "a"',
                'spec.imagePullSecrets[2].name: invalid empty name ""',
            ],
        ),
        (
            pod(terminationGracePeriodSeconds=-1),
            [
                "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
                "treated as 1"
            ],
        ),
    ],
)
def test_what_is_told_of_a_pod(subject: Obj, expected: list[str]) -> None:
    """A pod that is created is looked at; one that changes is not."""
    assert list(Pod.warn(subject, None)) == expected
    assert list(Pod.warn(subject, subject)) == []


@pytest.mark.parametrize(
    ("annotation", "own", "whole", "stored"),
    [
        ("runtime/default", None, None, {"type": "RuntimeDefault"}),
        ("localhost/mine", None, None, {"type": "Localhost", "localhostProfile": "mine"}),
        ("unconfined", {"type": "RuntimeDefault"}, None, {"type": "RuntimeDefault"}),
        ("unconfined", None, {"type": "Unconfined"}, None),
        ("nonsense", None, None, None),
    ],
)
def test_apparmor_by_annotation(
    annotation: str, own: Obj | None, whole: Obj | None, stored: Obj | None
) -> None:
    """A new pod's annotations become fields where there are none yet, and its client is told of the field."""
    spec = {"securityContext": {"appArmorProfile": whole}} if whole else {}
    subject = pod(
        {"securityContext": {"appArmorProfile": own}} if own else {}, annotations={APPARMOR: annotation}, **spec
    )
    Pod.prepare(subject, None)
    context = subject["spec"]["containers"][0].get("securityContext") or {}
    assert context.get("appArmorProfile") == stored
    told = f'metadata.annotations[{APPARMOR}]: deprecated since v1.30; use the "appArmorProfile" field instead'
    silent = own is not None or whole is not None
    assert list(Pod.warn(subject, None)) == ([] if silent else [told])


def test_what_is_told_of_a_template() -> None:
    """A workload's template is looked at whenever the spec has changed, its name once."""
    template = pod({"env": [ENV[0], ENV[2]]}, annotations={APPARMOR: "unconfined"})
    workload = {"metadata": {"name": "a.b"}, "spec": {"replicas": 1, "template": template}}
    hidden = (
        'spec.template.spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when '
    )
    field = f"spec.template.metadata.annotations[{APPARMOR}]: deprecated since v1.30; "
    name = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
    again = [f'{field}use the "appArmorProfile" field instead', f"{hidden}using apply"]
    assert list(Deployment.warn(workload, None)) == [
        f"{name}a DNS label is recommended: [must not contain dots]",
        *again,
    ]
    scaled = {**workload, "spec": {**workload["spec"], "replicas": 2}}
    assert list(Deployment.warn(scaled, workload)) == again
    assert list(Deployment.warn(scaled, scaled)) == []


def test_what_is_told_of_a_claim() -> None:
    """Half a byte cannot be provided."""
    claim = {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "1500m"}}}}
    assert list(PersistentVolumeClaim.warn(claim, None)) == [
        'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'
    ]
