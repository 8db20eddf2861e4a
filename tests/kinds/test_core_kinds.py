"""ConfigMap, Secret, Namespace, Node, Event, ServiceAccount, Lease, PriorityClass, RuntimeClass."""

from typing import Any

import pytest
from kind_objects import ago, created, meta, refusals, row, updated

from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.kinds.node.runtimeclass import RuntimeClass
from minikube_py.kinds.scheduling.priorityclass import PriorityClass
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy

FROZEN = "field is immutable when `immutable` is set"


def obj(name: str = "web", **fields: Any) -> Obj:
    return {"metadata": meta(name), **fields}


def test_secret_texts_become_data() -> None:
    """stringData is encoded and wins over data; the type is Opaque by default."""
    stored = created(Secret, obj(stringData={"a": "x"}, data={"a": "b2xk", "b": "eQ=="}))
    assert stored == obj(type="Opaque", data={"a": "eA==", "b": "eQ=="})
    assert row(Secret, stored) == {"Name": "web", "Type": "Opaque", "Data": 2, "Age": "60s"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (obj(), []),
        (obj(type="kubernetes.io/tls"), ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        (
            obj(type="kubernetes.io/dockerconfigjson", stringData={".dockerconfigjson": "{"}),
            [
                'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
                "invalid character in JSON",
            ],
        ),
        (
            obj(type="kubernetes.io/service-account-token"),
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        (
            obj(stringData={"a": "x" * (1024 * 1024 + 1)}),
            ["data: Too long: may not be more than 1048576 bytes"],
        ),
        (obj(stringData={"a": "x" * 1024 * 1024}), []),
    ],
)
def test_secret_refusals(found: Obj, expected: list[str]) -> None:
    """A Secret has what its type needs, and at most 1 MiB."""
    assert refusals(Secret, found) == expected


@pytest.mark.parametrize("kind", [ConfigMap, Secret], ids=lambda kind: kind.kind)
def test_immutable_data(kind: Kind) -> None:
    """An immutable ConfigMap or Secret keeps its data and stays immutable."""
    old = created(kind, obj(data={"a": "eA=="}, immutable=True))
    assert refusals(kind, old, old) == []
    changed = {**old, "data": {"a": "eQ=="}, "immutable": False}
    assert refusals(kind, changed, old) == [f"immutable: Forbidden: {FROZEN}", f"data: Forbidden: {FROZEN}"]


def test_secret_type_is_immutable() -> None:
    """A Secret's type is fixed."""
    old = created(Secret, obj())
    assert refusals(Secret, {**old, "type": "other"}, old) == [
        'type: Invalid value: "other": field is immutable'
    ]


def test_config_map_keys() -> None:
    """Keys are file names, each in one of the two maps."""
    assert refusals(ConfigMap, obj(data={"a": "1"}, binaryData={"a": "eA=="})) == [
        'data[a]: Invalid value: "a": duplicate of key present in binaryData'
    ]
    bad = refusals(ConfigMap, obj(data={"a/b": "1"}))
    assert [text.partition(": a valid")[0] for text in bad] == ['data[a/b]: Invalid value: "a/b"']
    assert row(ConfigMap, obj(data={"a": "1"}, binaryData={"b": "eA=="}))["Data"] == 2


def test_namespace_life() -> None:
    """A Namespace begins Active, labelled with its name and held by a finalizer that clients cannot take."""
    stored = created(Namespace, {"metadata": {"name": "shop"}})
    assert stored == {
        "metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    assert updated(Namespace, {"metadata": {"name": "shop"}, "spec": {}}, stored) == stored
    assert row(Namespace, stored)["Status"] == "Active"
    assert "deletecollection" not in Namespace.verbs


def node(conditions: list[Obj], labels: Obj | None = None, **spec: Any) -> Obj:
    info = {"kubeletVersion": "v1.34.0", "osImage": "Debian", "containerRuntimeVersion": "containerd://1.6"}
    status = {"conditions": conditions, "nodeInfo": info}
    addresses = [{"type": "InternalIP", "address": "10.244.0.1"}]
    return {
        "metadata": meta("n", labels=labels or {}),
        "spec": spec,
        "status": {**status, "addresses": addresses},
    }


@pytest.mark.parametrize(
    ("found", "status", "roles"),
    [
        (node([{"type": "Ready", "status": "True"}]), "Ready", "<none>"),
        (
            node([{"type": "Ready", "status": "Unknown"}], unschedulable=True),
            "NotReady,SchedulingDisabled",
            "<none>",
        ),
        (
            node([], {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}),
            "Unknown",
            "control-plane,worker",
        ),
    ],
)
def test_node_columns(found: Obj, status: str, roles: str) -> None:
    """A node's table tells its readiness, roles, versions and addresses."""
    cells = row(Node, found)
    assert (cells["Status"], cells["Roles"], cells["Version"]) == (status, roles, "v1.34.0")
    assert (cells["Internal-IP"], cells["External-IP"]) == ("10.244.0.1", "<none>")
    assert (cells["OS-Image"], cells["Kernel-Version"]) == ("Debian", "<unknown>")


def test_a_new_node_has_its_facts_blank() -> None:
    """What a node tells of itself is there from the start, though unknown."""
    status = created(Node, {"metadata": meta("n")})["status"]
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}
    assert (len(status["nodeInfo"]), set(status["nodeInfo"].values())) == (10, {""})


def test_node_taints_and_range() -> None:
    """A taint needs a known effect and stands once; a node's pod range is fixed."""
    taints = [
        {"key": "a", "effect": "NoSchedule"},
        {"key": "a", "effect": "NoSchedule"},
        {"key": "b", "effect": "No"},
    ]
    assert refusals(Node, node([], taints=taints)) == [
        'metadata.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: '
        "taints must be unique by key and effect pair",
        'metadata.taints[2].effect: Unsupported value: "No": '
        'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ]
    old = created(Node, node([], podCIDR="10.244.0.0/24"))
    assert old["spec"]["podCIDRs"] == ["10.244.0.0/24"]
    assert refusals(Node, node([], podCIDR="10.245.0.0/24"), old) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'
    ]


def event(**fields: Any) -> Obj:
    about = {"kind": "Pod", "name": "web-1", "namespace": "default", "fieldPath": "spec.containers{main}"}
    source = {"component": "kubelet", "host": "n"}
    return obj("web.1", involvedObject=about, source=source, type="Normal", reason="Pulled", **fields)


def test_event_columns() -> None:
    """An event's table tells when, what and about which object; a series tells its last time and count."""
    found = event(message="done\n", firstTimestamp=ago(300), lastTimestamp=ago(30), count=4)
    assert row(Event, found) == {
        "Last Seen": "30s",
        "Type": "Normal",
        "Reason": "Pulled",
        "Object": "pod/web-1",
        "Subobject": "spec.containers{main}",
        "Source": "kubelet, n",
        "Message": "done",
        "First Seen": "5m",
        "Count": 4,
        "Name": "web.1",
    }
    series = event(eventTime=ago(300), series={"count": 7, "lastObservedTime": ago(10)})
    assert [row(Event, series)[name] for name in ("Last Seen", "First Seen", "Count")] == ["10s", "5m", 7]
    single = event(eventTime=ago(300))
    assert [row(Event, single)[name] for name in ("Last Seen", "Count")] == ["5m", 1]


def test_event_refusals() -> None:
    """An event lies where its object lies; one of the new form names its reporter."""
    elsewhere = event()
    elsewhere["involvedObject"]["namespace"] = "other"
    assert refusals(Event, elsewhere) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]
    assert refusals(Event, event(eventTime=ago(1), reportingComponent="me", reportingInstance="me-1")) == [
        "action: Required value"
    ]


def test_service_account_and_lease() -> None:
    """The tables count secrets and name the holder; a lease lasts for a time."""
    assert row(ServiceAccount, obj("default"))["Secrets"] == 0
    assert row(Lease, obj(spec={"holderIdentity": "n"}))["Holder"] == "n"
    assert refusals(Lease, obj(spec={"leaseDurationSeconds": 0})) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"
    ]


def test_priority_class() -> None:
    """A priority is fixed; users' priorities stay below those of the system."""
    stored = created(PriorityClass, {"metadata": {"name": "high"}, "value": 1000})
    assert (stored["preemptionPolicy"], row(PriorityClass, stored)["Global-Default"]) == (
        "PreemptLowerPriority",
        False,
    )
    assert refusals(PriorityClass, {**copy(stored), "value": 1}, stored) == [
        "value: Forbidden: may not be changed in an update."
    ]
    assert refusals(PriorityClass, {"metadata": {"name": "high"}, "value": 1_000_000_001}) == [
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"
    ]
    assert refusals(PriorityClass, {"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}) == []


def test_runtime_class() -> None:
    """A handler is a DNS label and fixed."""
    old = {"metadata": {"name": "runc"}, "handler": "runc"}
    assert refusals(RuntimeClass, {**old, "handler": "kata"}, old) == [
        'handler: Invalid value: "kata": field is immutable'
    ]
    assert row(RuntimeClass, old)["Handler"] == "runc"
