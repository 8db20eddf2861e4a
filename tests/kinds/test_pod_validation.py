"""Which pods are refused, and with which words."""

from typing import Any

import pytest
from kind_objects import container, created, pod, refusals, updated

from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import Obj, copy

C = "spec.containers[0]"
ANTI = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"
RANGE = "must be between 1 and 65535, inclusive"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pod(), []),
        ({**pod(), "spec": {}}, ["spec.containers: Required value"]),
        (pod(container(image="")), [f"{C}.image: Required value"]),
        (pod(os={}), ["spec.os.name: Required value: cannot be empty"]),
        (pod(container(name="")), [f"{C}.name: Required value"]),
        (
            pod(container(image=" nginx")),
            [f'{C}.image: Invalid value: " nginx": must not have leading or trailing whitespace'],
        ),
        (pod(container(), container()), ['spec.containers[1].name: Duplicate value: "main"']),
        (
            pod(restartPolicy="Maybe"),
            [
                'spec.restartPolicy: Unsupported value: "Maybe": '
                'supported values: "Always", "OnFailure", "Never"',
            ],
        ),
        (
            pod(container(imagePullPolicy="Often")),
            [
                f'{C}.imagePullPolicy: Unsupported value: "Often": '
                'supported values: "Always", "IfNotPresent", "Never"',
            ],
        ),
        (
            pod(container(ports=[{"containerPort": 70000}])),
            [f"{C}.ports[0].containerPort: Invalid value: 70000: {RANGE}"],
        ),
        (
            pod(container(ports=[{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}])),
            [f'{C}.ports[1].name: Duplicate value: "a"'],
        ),
        (
            pod(container(ports=[{"containerPort": 80, "protocol": "ICMP"}])),
            [f'{C}.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
        ),
        (
            pod(container(ports=[{"containerPort": 1, "hostPort": 8}, {"containerPort": 2, "hostPort": 8}])),
            [f'{C}.ports[1].hostPort: Duplicate value: "TCP//8"'],
        ),
        (
            pod(container(volumeMounts=[{"name": "data", "mountPath": "/data"}])),
            [f'{C}.volumeMounts[0].name: Not found: "data"'],
        ),
        (
            pod(
                container(volumeMounts=[{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]),
                volumes=[{"name": "v"}],
            ),
            [f'{C}.volumeMounts[1].mountPath: Invalid value: "/a": must be unique'],
        ),
        (
            pod(
                container(volumeMounts=[{"name": "v", "mountPath": "/a", "subPath": "../b"}]),
                volumes=[{"name": "v"}],
            ),
            [f"{C}.volumeMounts.subPath: Invalid value: \"../b\": must not contain '..'"],
        ),
        (pod(volumes=[{"name": "v"}, {"name": "v"}]), ['spec.volumes[1].name: Duplicate value: "v"']),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            pod(volumes=[{"name": "v", "secret": {"secretName": "s", "defaultMode": 0o1000}}]),
            [
                "spec.volumes[0].secret.defaultMode: Invalid value: 512: "
                "must be a number between 0 and 0777 (octal), both inclusive",
            ],
        ),
        (
            pod(volumes=[{"name": "v", "configMap": {}}]),
            ["spec.volumes[0].configMap.name: Required value"],
        ),
        (
            pod(container(env=[{"name": "A", "valueFrom": {}}])),
            [
                f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '
                "`resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
            ],
        ),
        (
            pod(container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}])),
            [f"{C}.env[0].valueFrom.secretKeyRef.key: Required value"],
        ),
        (
            pod(container(livenessProbe={})),
            [f"{C}.livenessProbe: Required value: must specify a handler type"],
        ),
        (
            pod(container(livenessProbe={"tcpSocket": {"port": 80}, "successThreshold": 2})),
            [f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            pod(container(readinessProbe={"httpGet": {"port": 0}})),
            [f"{C}.readinessProbe.httpGet.port: Invalid value: 0: {RANGE}"],
        ),
        (
            pod(container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})),
            [f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            pod(container(resources={"requests": {"memory": "-1"}})),
            [
                f'{C}.resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
            ],
        ),
        (
            pod(initContainers=[container("i", livenessProbe={"exec": {"command": ["true"]}})]),
            [
                "spec.initContainers[0].livenessProbe: Forbidden: "
                "may not be set for init containers without restartPolicy=Always",
            ],
        ),
        (
            pod(tolerations=[{"operator": "Equal"}]),
            [
                'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is '
                'empty, which means "match all values and all keys"',
            ],
        ),
        (
            pod(activeDeadlineSeconds=0),
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            pod(nodeName="n", schedulingGates=[{"name": "g"}]),
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "Never"}]),
            [
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Never": '
                'supported values: "DoNotSchedule", "ScheduleAnyway"',
            ],
        ),
        (
            pod(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}),
            [
                f"{ANTI}[0].topologyKey: Required value: can not be empty",
                f'{ANTI}[0].topologyKey: Invalid value: "": name part must be non-empty',
                f'{ANTI}[0].topologyKey: Invalid value: "": name part must consist of alphanumeric '
                "characters, '-', '_' or '.', and must start and end with an alphanumeric character "
                "(e.g. 'MyName',  or 'my.name',  or '123-abc', "
                "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        (
            pod(container(securityContext={"privileged": True, "allowPrivilegeEscalation": False})),
            [
                f'{C}.securityContext: Invalid value: {{"privileged":true,"allowPrivilegeEscalation":false}}: '
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ],
        ),
    ],
)
def test_refusals(found: Obj, expected: list[str]) -> None:
    """Each fault is told with its field and Kubernetes' words; a sound pod has none."""
    assert refusals(Pod, found) == expected


def changed(old: Obj, **spec: Any) -> Obj:
    new: Obj = copy(old)
    new["spec"].update(spec)
    return new


def test_what_may_change() -> None:
    """Images, a shorter deadline and more tolerations may change; a toleration's seconds too."""
    old = created(
        Pod,
        pod(activeDeadlineSeconds=100, tolerations=[{"key": "a", "operator": "Exists", "effect": "NoExecute"}]),
    )
    kept = {**old["spec"]["tolerations"][0], "tolerationSeconds": 5}
    new = changed(old, activeDeadlineSeconds=50, tolerations=[kept, {"key": "b", "operator": "Exists"}])
    new["spec"]["containers"][0]["image"] = "nginx:2"
    assert refusals(Pod, new, old) == []


def test_what_may_not_change() -> None:
    """Everything else of a pod's spec is fixed, the node it is bound to above all."""
    old = created(
        Pod, pod(nodeName="a", activeDeadlineSeconds=100, tolerations=[{"key": "a", "operator": "Exists"}])
    )
    moved = refusals(Pod, changed(old, nodeName="b"), old)
    assert [text.partition("\n")[0] for text in moved] == [
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
        "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
        "(allow it to be set to 1 if it was previously negative)"
    ]
    assert moved[0].partition("\n")[2] == '  spec.nodeName: "a" -> "b"'
    assert refusals(Pod, changed(old, containers=[container(), container("b")]), old) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]
    assert refusals(Pod, changed(old, activeDeadlineSeconds=200), old) == [
        "spec.activeDeadlineSeconds: Invalid value: 200: must be less than or equal to previous value"
    ]
    assert refusals(Pod, changed(old, tolerations=[]), old) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_gates_only_go() -> None:
    """Scheduling gates may be removed, never added; while gated, a pod's placement may change."""
    old = created(Pod, pod(schedulingGates=[{"name": "a"}, {"name": "b"}]))
    assert refusals(Pod, changed(old, schedulingGates=[{"name": "b"}], nodeSelector={"x": "y"}), old) == []
    assert refusals(Pod, changed(old, schedulingGates=[{"name": "c"}]), old) == [
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'c'"
    ]


def test_ephemeral_containers_come_by_their_subresource() -> None:
    """A pod is not created with ephemeral containers, and an ordinary update leaves them alone."""
    debug = container("debug")
    assert refusals(Pod, pod(ephemeralContainers=[debug])) == [
        "spec.ephemeralContainers: Forbidden: cannot be set on create"
    ]
    old = created(Pod, pod())
    debugged = changed(old, ephemeralContainers=[debug])
    assert updated(Pod, old, debugged)["spec"]["ephemeralContainers"] == [debug]
