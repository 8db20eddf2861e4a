"""Policies and bindings as tests make them."""

from typing import Any

from api_cluster import Answer, Client

API = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{API}/validatingadmissionpolicies", f"{API}/validatingadmissionpolicybindings"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def policy(name: str = "rule", **spec: Any) -> dict[str, Any]:
    """A policy on creations and updates of ConfigMaps; `spec` has what is said of it otherwise."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["configmaps"],
        "operations": ["CREATE", "UPDATE"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"matchConstraints": {"resourceRules": [rule]}, **spec},
    }


def binding(of: str = "rule", *actions: str, name: str = "bound", **spec: Any) -> dict[str, Any]:
    """A binding with its actions (Deny, unless others are given)."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": of, "validationActions": list(actions or ("Deny",)), **spec},
    }


def config_map(name: str = "c", data: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": data or {},
    }


def check(expression: str, **more: Any) -> list[dict[str, Any]]:
    """`validations` of one expression."""
    return [{"expression": expression, **more}]


async def in_force(client: Client, made: dict[str, Any], bound: dict[str, Any] | None = None) -> None:
    """Create a policy and a binding of it."""
    for path, obj in ((POLICIES, made), (BINDINGS, bound or binding(made["metadata"]["name"]))):
        answer = await client.post(path, obj)
        assert answer.code == 201, answer.body


async def written(client: Client, obj: dict[str, Any], path: str = CONFIG_MAPS) -> Answer:
    """The answer to a creation."""
    return await client.post(path, obj)
