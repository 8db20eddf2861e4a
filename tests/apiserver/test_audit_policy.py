"""Which requests the audit log is told of, and how much: rules of policies."""

from pathlib import Path
from typing import Any

import pytest

from minikube_py.apiserver.audit_policy import DEFAULT, BadPolicy, Level, load, policy_of
from minikube_py.apiserver.request import RequestInfo
from minikube_py.registry.base import User

BOB = User("bob", groups=("devs", "system:authenticated"))


def on(verb: str, resource: str, name: str = "", namespace: str = "ns", group: str = "") -> RequestInfo:
    resource, _, subresource = resource.partition("/")
    return RequestInfo(verb, "/api", True, group, "v1", resource, subresource, namespace, name)


PATH = RequestInfo("get", "/healthz/etcd")


@pytest.mark.parametrize(
    ("rule", "info", "matches"),
    [
        ({}, on("get", "pods"), True),
        ({"users": ["bob"]}, on("get", "pods"), True),
        ({"users": ["jane"]}, on("get", "pods"), False),
        ({"userGroups": ["devs"]}, on("get", "pods"), True),
        ({"userGroups": ["ops"]}, on("get", "pods"), False),
        ({"verbs": ["create"]}, on("get", "pods"), False),
        ({"resources": [{"resources": ["pods"]}]}, on("get", "pods"), True),
        ({"resources": [{"resources": ["pods"]}]}, on("get", "pods/status"), False),
        ({"resources": [{"resources": ["pods/*"]}]}, on("get", "pods/status"), True),
        ({"resources": [{"resources": ["pods/*"]}]}, on("get", "pods"), False),
        ({"resources": [{"resources": ["*/status"]}]}, on("get", "nodes/status"), True),
        ({"resources": [{"resources": ["*"]}]}, on("get", "pods/log"), True),
        ({"resources": [{"group": "apps"}]}, on("get", "pods"), False),
        ({"resources": [{"group": "apps"}]}, on("get", "deployments", group="apps"), True),
        ({"resources": [{"resources": ["pods"], "resourceNames": ["a"]}]}, on("get", "pods", "b"), False),
        ({"namespaces": ["ns"]}, on("get", "pods"), True),
        ({"namespaces": [""]}, on("get", "pods"), False),
        ({"namespaces": [""]}, on("get", "nodes", namespace=""), True),
        ({"namespaces": ["ns"]}, PATH, False),
        ({"nonResourceURLs": ["/healthz*"]}, PATH, True),
        ({"nonResourceURLs": ["/healthz"]}, PATH, False),
        ({"nonResourceURLs": ["*"]}, on("get", "pods"), False),
    ],
)
def test_rules(rule: dict[str, Any], info: RequestInfo, matches: bool) -> None:
    """A rule matches where each of its fields does; the last resort is not to log."""
    policy = policy_of({"rules": [{"level": "Request", **rule}]})
    assert policy.verdict(BOB, info).level == (Level.REQUEST if matches else Level.NONE)


def test_first_rule_wins_and_omissions_add_up() -> None:
    """The first rule that matches decides; stages are omitted by the policy and by the rule."""
    rules = [
        {"level": "Metadata", "verbs": ["get"], "omitStages": ["ResponseStarted"], "omitManagedFields": False},
        {"level": "RequestResponse"},
    ]
    policy = policy_of({"rules": rules, "omitStages": ["RequestReceived"], "omitManagedFields": True})
    read, write = policy.verdict(BOB, on("get", "pods")), policy.verdict(BOB, on("create", "pods"))
    assert read == (Level.METADATA, {"RequestReceived", "ResponseStarted"}, False)
    assert write == (Level.REQUEST_RESPONSE, {"RequestReceived"}, True)


@pytest.mark.parametrize("info", [on("create", "tokenreviews"), on("create", "serviceaccounts/token", "x")])
def test_tokens_are_never_told(info: RequestInfo) -> None:
    """Whatever a policy says, of what holds tokens only metadata is logged."""
    policy = policy_of({"rules": [{"level": "RequestResponse"}]})
    assert policy.verdict(BOB, info).level is Level.METADATA


@pytest.mark.parametrize(
    ("info", "level"),
    [
        (on("create", "secrets"), Level.METADATA),
        (on("update", "configmaps", "x"), Level.METADATA),
        (on("create", "pods"), Level.REQUEST),
        (on("list", "pods"), Level.METADATA),
        (on("update", "leases", "x", group="coordination.k8s.io"), Level.NONE),
        (PATH, Level.NONE),
    ],
)
def test_default_policy(info: RequestInfo, level: Level) -> None:
    """Without a policy, writes are told with their bodies, but for Secrets and ConfigMaps."""
    assert DEFAULT.verdict(BOB, info).level is level


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kind: Policy", "is no Policy of audit.k8s.io/v1"),
        ("[", "line"),
        ("apiVersion: audit.k8s.io/v1\nkind: Policy\n", "0 rules"),
        ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]", 'Unsupported value: "All"'),
        ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, omitStages: [X]}]", "is no stage"),
        (
            "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
            "rules: [{level: None, namespaces: [a], nonResourceURLs: ['/x']}]",
            "cannot apply to both",
        ),
    ],
)
def test_bad_policies(tmp_path: Path, text: str, why: str) -> None:
    """A policy that cannot be used is refused with what is wrong."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(BadPolicy, match=why.replace("[", r"\[")):
        load(path)
