"""Defaults and strategy of pods."""

from typing import Any

import pytest
from kind_objects import container, created, pod, updated, workload

from minikube_py.kinds.apps.deployment import Deployment
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.podspec.defaults import pull_policy
from minikube_py.kinds.podspec.qos import qos_class
from minikube_py.meta.objects import copy


def test_a_plain_pod() -> None:
    """A pod with a name and an image becomes what Kubernetes stores of it."""
    stored = created(Pod, pod(container(ports=[{"containerPort": 80}])))
    assert stored["spec"] == {
        "containers": [
            {
                "name": "main",
                "image": "nginx:1.27",
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }
    assert stored["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert stored["metadata"]["generation"] == 1


def test_defaulting_twice_changes_nothing() -> None:
    """Defaults are idempotent: an object read and written back stays the same."""
    stored = created(Pod, pod(container(livenessProbe={"httpGet": {"port": 80}}), volumes=[{"name": "v"}]))
    again = copy(stored)
    Pod.default(again)
    assert again == stored


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1.27", "IfNotPresent"),
        ("nginx@sha256:0123", "IfNotPresent"),
        ("nginx:latest@sha256:0123", "Always"),
        ("nginx:1.27@sha256:0123", "IfNotPresent"),
        ("", "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, expected: str) -> None:
    """Images without a tag, or with `latest`, are pulled always."""
    assert pull_policy(image) == expected


def test_probes_and_hooks() -> None:
    """Probes get their counts, HTTP actions a path and a scheme."""
    stored = created(
        Pod,
        pod(
            container(
                readinessProbe={"httpGet": {"port": 80}, "periodSeconds": 3},
                startupProbe={"grpc": {"port": 9}},
                lifecycle={"preStop": {"httpGet": {"port": 80, "path": "/bye"}}},
            )
        ),
    )
    found = stored["spec"]["containers"][0]
    assert found["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "periodSeconds": 3,
        "timeoutSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert found["startupProbe"]["grpc"] == {"port": 9, "service": ""}
    assert found["lifecycle"]["preStop"]["httpGet"] == {"port": 80, "path": "/bye", "scheme": "HTTP"}


def test_volumes() -> None:
    """Volumes get file modes, an emptyDir where they have no source, and API versions of field references."""
    field = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    volumes = [
        {"name": "none"},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "map", "configMap": {"name": "c", "defaultMode": 0o400}},
        {"name": "host", "hostPath": {"path": "/tmp"}},
        {"name": "down", "downwardAPI": {"items": [field]}},
        {"name": "all", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    ]
    expected_field = {"path": "labels", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"}}
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    assert created(Pod, pod(volumes=volumes))["spec"]["volumes"] == [
        {"name": "none", "emptyDir": {}},
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 420}},
        {"name": "map", "configMap": {"name": "c", "defaultMode": 256}},
        {"name": "host", "hostPath": {"path": "/tmp", "type": ""}},
        {"name": "down", "downwardAPI": {"items": [expected_field], "defaultMode": 420}},
        {"name": "all", "projected": {"sources": [token], "defaultMode": 420}},
    ]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"iscsi": {"lun": 0}}, {"iscsi": {"lun": 0, "iscsiInterface": "default"}}),
        ({"rbd": {"pool": "p"}}, {"rbd": {"pool": "p", "user": "admin", "keyring": "/etc/ceph/keyring"}}),
        (
            {"azureDisk": {"diskName": "d"}},
            {
                "azureDisk": {
                    "diskName": "d",
                    "cachingMode": "ReadWrite",
                    "fsType": "ext4",
                    "kind": "Shared",
                    "readOnly": False,
                }
            },
        ),
        ({"scaleIO": {}}, {"scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"}}),
        (
            {"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}},
            {
                "downwardAPI": {
                    "defaultMode": 420,
                    "items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}],
                }
            },
        ),
    ],
)
def test_volume_sources(volume: dict[str, Any], expected: dict[str, Any]) -> None:
    """Sources of volumes are filled in as those of the cloud and the network ask for."""
    stored = created(Pod, pod(volumes=[{"name": "v", **volume}]))
    assert stored["spec"]["volumes"] == [{"name": "v", **expected}]


def test_requests_default_to_limits_in_pods_only() -> None:
    """A pod's requests default to its limits; a template leaves that to its pods, and service links too."""
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    stored = created(Pod, pod(container(resources=resources)))
    assert stored["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    deployment = workload("Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    template = created(Deployment, deployment)["spec"]["template"]["spec"]
    assert template["containers"][0]["resources"] == resources
    assert "enableServiceLinks" not in template


@pytest.mark.parametrize(
    ("level", "each", "expected"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, {}, {"cpu": "1", "memory": "1Gi"}),
        ({"limits": {"cpu": "1"}}, {"requests": {"cpu": "100m"}}, {"cpu": "200m"}),
        ({"limits": {"cpu": "1"}}, {"limits": {"memory": "8Mi"}}, {"cpu": "1", "memory": "16Mi"}),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "100m"}}, {"cpu": "1"}),
        ({"limits": {"cpu": "1"}}, {"requests": {"ephemeral-storage": "1Mi"}}, {"cpu": "1"}),
    ],
    ids=["limits", "containers", "limits-of-containers", "given", "only-what-a-pod-can-ask"],
)
def test_requests_of_a_whole_pod(level: dict[str, Any], each: dict[str, Any], expected: dict[str, Any]) -> None:
    """Pod level requests default to those of the containers together, else to the pod level limits."""
    twins = [container(name=name, resources=copy(each)) for name in ("a", "b")]
    stored = created(Pod, pod(*twins, resources=copy(level)))
    assert stored["spec"]["resources"]["requests"] == expected


def test_host_network_takes_host_ports() -> None:
    """In the host's network, a container port is the host's port."""
    stored = created(Pod, pod(container(ports=[{"containerPort": 80}]), hostNetwork=True))
    assert stored["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


def test_service_account_alias() -> None:
    """The deprecated serviceAccount follows serviceAccountName, whichever was given."""
    for given in ({"serviceAccountName": "robot"}, {"serviceAccount": "robot"}):
        stored = created(Pod, pod(**given))["spec"]
        assert (stored["serviceAccountName"], stored["serviceAccount"]) == ("robot", "robot")


def resources(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> dict[str, Any]:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([{}], "BestEffort"),
        ([resources({"cpu": "0"})], "BestEffort"),
        ([resources({"cpu": "1"})], "Burstable"),
        ([resources(BOTH, BOTH)], "Guaranteed"),
        ([resources({"cpu": "1000m", "memory": "1024Mi"}, BOTH)], "Guaranteed"),
        ([resources(BOTH, BOTH), {}], "Burstable"),
        ([resources({"cpu": "500m", "memory": "1Gi"}, BOTH)], "Burstable"),
        ([resources({"nvidia.com/gpu": "1"}, {"nvidia.com/gpu": "1"})], "BestEffort"),
    ],
)
def test_qos_class(containers: list[dict[str, Any]], expected: str) -> None:
    """The class follows from what each container requests and is limited to."""
    assert qos_class({"containers": containers}) == expected


def test_generation_counts_changes_of_the_spec() -> None:
    """The generation rises with the spec, not with labels."""
    old = created(Pod, pod())
    labelled = copy(old)
    labelled["metadata"]["labels"] = {"a": "b"}
    assert updated(Pod, labelled, old)["metadata"]["generation"] == 1
    changed = copy(old)
    changed["spec"]["containers"][0]["image"] = "nginx:2"
    assert updated(Pod, changed, old)["metadata"]["generation"] == 2


def test_a_gated_pod_says_so() -> None:
    """A pod with scheduling gates begins with the condition that tells why it waits."""
    stored = created(Pod, pod(schedulingGates=[{"name": "example.com/wait"}]))
    assert [(c["type"], c["reason"]) for c in stored["status"]["conditions"]] == [
        ("PodScheduled", "SchedulingGated")
    ]


def test_label_keys_join_the_selectors() -> None:
    """A new pod's own labels complete its selectors; keys that it has no label for, and no selector, do not."""
    selector = {"matchLabels": {"app": "web"}}
    term = {"topologyKey": "zone", "labelSelector": selector, "matchLabelKeys": ["hash", "absent"]}
    away = {"topologyKey": "zone", "labelSelector": {}, "mismatchLabelKeys": ["tenant"]}
    spread = [{"maxSkew": 1, "labelSelector": selector, "matchLabelKeys": ["hash"]}, {"maxSkew": 2}]
    required, preferred = (f"{way}DuringSchedulingIgnoredDuringExecution" for way in ("required", "preferred"))
    affinity = {
        "podAffinity": {required: [term]},
        "podAntiAffinity": {preferred: [{"weight": 1, "podAffinityTerm": away}]},
    }
    sent = pod(affinity=affinity, topologySpreadConstraints=spread)
    sent["metadata"]["labels"] = {"hash": "h", "tenant": "t"}
    spec = created(Pod, sent)["spec"]
    same = {**selector, "matchExpressions": [{"key": "hash", "operator": "In", "values": ["h"]}]}
    other = {"matchExpressions": [{"key": "tenant", "operator": "NotIn", "values": ["t"]}]}
    assert spec["affinity"]["podAffinity"][required][0]["labelSelector"] == same
    wish = spec["affinity"]["podAntiAffinity"][preferred][0]
    assert wish["podAffinityTerm"]["labelSelector"] == other
    assert [one.get("labelSelector") for one in spec["topologySpreadConstraints"]] == [same, None]


def test_volumes_behind_feature_gates_are_dropped() -> None:
    """Volumes of images go with their mounts, projected trust bundles leave an empty source: as v1.34 does."""
    bundle = {"clusterTrustBundle": {"name": "ca", "path": "ca.crt"}}
    volumes = [
        {"name": "weights", "image": {"reference": "models:1"}},
        {"name": "trust", "projected": {"sources": [bundle]}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    first, second = pod(volumes=volumes), pod(volumes=volumes[:1])
    first["spec"]["containers"][0]["volumeMounts"] = mounts
    second["spec"]["containers"][0]["volumeMounts"] = mounts[:1]
    spec = created(Pod, first)["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["trust"]
    assert spec["volumes"][0]["projected"]["sources"] == [{}]
    assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == ["trust"]
    spec = created(Pod, second)["spec"]
    assert ("volumes" in spec, "volumeMounts" in spec["containers"][0]) == (False, False)
