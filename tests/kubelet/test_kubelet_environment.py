"""A container's environment, the kubelet's pure part: sources, references, quoting, limits."""

from base64 import b64encode
from typing import Any

import pytest

from minikube_py.kubelet.kuberuntime.environment import ConfigRefused, PodFacts, environment, expand, quoted

FACTS = PodFacts("node-1", "10.0.0.1", ("10.244.0.5",), {"cpu": "4", "memory": "8Gi"})
SERVICES = [
    {
        "metadata": {"name": "my-db", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"name": "sql", "port": 5432}, {"port": 81}]},
    },
    {
        "metadata": {"name": "none", "namespace": "default"},
        "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
    },
]


def pod(**spec: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "default", "uid": "u1", "labels": {"a": 'b"c'}, "generation": 2}
    return {"metadata": meta, "spec": {"containers": [{"name": "main", "image": "app:1"}], **spec}}


def env_of(container: dict[str, Any], objects: dict[str, Any] | None = None, **spec: Any) -> dict[str, str]:
    def lookup(kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return (objects or {}).get(f"{kind}/{name}")

    return dict(environment(pod(**spec), {"name": "main", **container}, FACTS, SERVICES, lookup))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("x$(A)y$", "x1y$"),
        ("$A", "$A"),
        ("$$$(A)", "$1"),
        ("$(A $(A)", "$(A $(A)"),
        ("$(P(A)", "2"),
        ("$(A", "$(A"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    """$(NAME) is replaced where known; $$ is a dollar sign."""
    assert expand(text, {"A": "1", "P(A": "2"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a"b\\', '"a\\"b\\\\"'),
        ("1\n2\t3\r", '"1\\n2\\t3\\r"'),
        ("\x00\x7f", '"\\x00\\x7f"'),
        ("é☂\u200b", '"é☂\\u200b"'),
    ],
    ids=["quote", "lines", "control", "unicode"],
)
def test_quoted(text: str, expected: str) -> None:
    """Texts are quoted as Go does: what cannot be printed is escaped."""
    assert quoted(text) == expected


@pytest.mark.parametrize(
    ("limits", "whole", "expected"),
    [
        ({"cpu": "1500m"}, {"cpu": "3"}, "2"),
        ({}, {"cpu": "3"}, "3"),
        ({"cpu": "0"}, {}, "4"),
        ({}, {"memory": "1Gi"}, "4"),
    ],
    ids=["own", "of-the-pod", "zero-is-none", "of-the-node"],
)
def test_limits_in_the_environment(limits: dict[str, str], whole: dict[str, str], expected: str) -> None:
    """A limit that a container lacks is its pod's, or else what the node can give."""
    ref = {"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}
    container = {"name": "main", "resources": {"limits": limits}, "env": [{"name": "CPU", **ref}]}
    assert env_of(container, resources={"limits": whole})["CPU"] == expected


def test_the_limits_of_a_container_that_is_none() -> None:
    """A resourceFieldRef that names no container of the pod is refused."""
    ref = {"valueFrom": {"resourceFieldRef": {"containerName": "nope", "resource": "limits.cpu"}}}
    with pytest.raises(ConfigRefused) as raised:
        env_of({"name": "main", "env": [{"name": "CPU", **ref}]})
    assert str(raised.value) == "container nope not found"


def test_service_variables() -> None:
    """Services of the namespace give variables, and the kubernetes Service always does."""
    env = env_of({})
    assert env["MY_DB_SERVICE_HOST"] == "10.96.0.7"
    assert env["MY_DB_SERVICE_PORT_SQL"] == "5432"
    assert env["MY_DB_PORT_81_TCP_ADDR"] == "10.96.0.7"
    assert env["MY_DB_PORT"] == "tcp://10.96.0.7:5432"
    assert (env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"]) == ("10.96.0.1", "443")
    assert "NONE_SERVICE_HOST" not in env
    alone = env_of({}, enableServiceLinks=False)
    assert "MY_DB_SERVICE_HOST" not in alone and "KUBERNETES_SERVICE_HOST" in alone


def test_environment_sources() -> None:
    """env wins over envFrom, which wins over services; references are resolved."""
    objects = {
        "ConfigMap/cfg": {"data": {"A": "1", "B": "2"}},
        "Secret/key": {"data": {"S": b64encode(b"x").decode()}},
    }
    container = {
        "envFrom": [{"configMapRef": {"name": "cfg"}, "prefix": "P_"}, {"secretRef": {"name": "key"}}],
        "env": [
            {"name": "P_B", "value": "mine"},
            {"name": "TEXT", "value": "$(P_A)$(S)$(MY_DB_SERVICE_HOST)"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Gi"}}},
            {"name": "NO", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k", "optional": True}}},
        ],
    }
    env = env_of(container, objects)
    assert [env[name] for name in ("P_A", "P_B", "TEXT", "NAME", "LABEL", "CPU", "MEM")] == [
        "1",
        "mine",
        "1x10.96.0.7",
        "web",
        'b"c',
        "4",
        "8",
    ]
    assert "NO" not in env


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "gone", "key": "k"}}, 'configmap "gone" not found'),
        ({"secretKeyRef": {"name": "gone", "key": "k"}}, 'secret "gone" not found'),
        ({"configMapKeyRef": {"name": "cfg", "key": "k"}}, "couldn't find key k in ConfigMap default/cfg"),
    ],
)
def test_environment_refusals(source: dict[str, Any], message: str) -> None:
    """A missing object or key is refused in Kubernetes' words."""
    with pytest.raises(ConfigRefused) as refusal:
        env_of({"env": [{"name": "X", "valueFrom": source}]}, {"ConfigMap/cfg": {"data": {}}})
    assert str(refusal.value) == message
