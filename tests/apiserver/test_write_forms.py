"""What writes answer to doubtful bodies: keys said twice, another type or name, a missing version or right."""

from typing import Any

import pytest
from api_cluster import Client, Cluster

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
YAML = b'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  a: "1"\n  a: "2"\n'
LINE = 'line 7: key "a" already set in map'
LINES = f"yaml: unmarshal errors:\n  {LINE}"
UNHANDLED = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
TWICE: list[tuple[str, str, bytes, str, str]] = [
    (
        "POST",
        "application/json",
        b'{"metadata":{"name":"b"},"data":{"a":"1","a":"2"},"foo":1}',
        'duplicate field "data.a", unknown field "foo"',
        f'{UNHANDLED}duplicate field "data.a", unknown field "foo"',
    ),
    ("PUT", "application/yaml", YAML, LINE, f"{UNHANDLED}{LINES}"),
    ("PATCH", APPLY, YAML, LINE, f"error strict decoding YAML: error converting YAML to JSON: {LINES}"),
    (
        "PATCH",
        STRATEGIC,
        b'{"data":{"a":"1","a":"2"}}',
        'duplicate field "data.a"',
        ' "" is invalid: patch: Invalid value: "map[data:map[a:2]]": strict decoding error: duplicate field '
        '"data.a"',
    ),
    (
        "PATCH",
        JSON_PATCH,
        b'[{"op":"add","op":"add","path":"/data","value":{"a":"2"}}]',
        'json patch duplicate field "[0].op"',
        'strict decoding error: json patch duplicate field "[0].op"',
    ),
]


@pytest.mark.parametrize(("method", "type", "body", "warnings", "message"), TWICE)
async def test_keys_said_twice(
    admin: Client, method: str, type: str, body: bytes, warnings: str, message: str
) -> None:
    """The last one counts, with a warning for each unless asked for none; Strict refuses them."""
    await admin.post(CONFIG_MAPS, {"metadata": {"name": "a"}})
    path = CONFIG_MAPS if method == "POST" else f"{CONFIG_MAPS}/a"
    strict = await admin.call(method, f"{path}?fieldManager=m&fieldValidation=Strict", body, type=type)
    quiet = await admin.call(
        method, f"{path}?fieldManager=m&fieldValidation=Ignore&dryRun=All", body, type=type
    )
    done = await admin.call(method, f"{path}?fieldManager=m", body, type=type)
    assert (strict.code in (400, 422), strict["message"].endswith(message)) == (True, True)
    assert (quiet["data"], quiet.headers.getall("Warning", [])) == ({"a": "2"}, [])
    told = [text.removeprefix('299 - "')[:-1].replace('\\"', '"') for text in done.headers.getall("Warning")]
    assert (done["data"], ", ".join(told)) == ({"a": "2"}, warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "Secret"}, "invalid object type: /v1, Kind=Secret"),
        ({"apiVersion": "apps/v1"}, "invalid object type: apps/v1, Kind=ConfigMap"),
        ({"apiVersion": None}, "invalid object type: /, Kind=ConfigMap"),
        ({"metadata": {"name": "b"}}, "the name of the object (b) does not match the name on the URL (a)"),
        (
            {"metadata": {}},
            "the name of the object (a based on URL) was undeterminable: name must be provided",
        ),
        (
            {"metadata": {"name": True}},
            "failed to create typed patch object (default/; /v1, Kind=ConfigMap): .metadata.name: expected "
            "string, got &value.valueUnstructured{Value:true}",
        ),
    ],
)
async def test_configurations_of_something_else(admin: Client, change: Any, message: str) -> None:
    """An applied configuration must say what it is, as the URL does."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, **change}
    answer = await admin.call("PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", config, type=APPLY)
    assert (answer.code, answer["message"]) == (400, message)


async def test_updates_that_must_name_a_version(admin: Client) -> None:
    """A Lease is created by PUT, and then only replaced by who says what it replaces."""
    lease: Any = {"metadata": {"name": "a"}, "spec": {"leaseDurationSeconds": 1}}
    made = await admin.call("PUT", f"{LEASES}/a", lease)
    refused = await admin.call("PUT", f"{LEASES}/a", lease)
    lease["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    done = await admin.call("PUT", f"{LEASES}/a", lease)
    assert (made.code, refused.code, done.code) == (201, 422, 200)
    assert refused["message"] == (
        'leases.coordination.k8s.io "a" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be '
        "specified for an update"
    )


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_creating_needs_the_right_to_create(cluster: Cluster, admin: Client, method: str) -> None:
    """Who may only update and patch creates nothing by it."""
    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update", "patch"]}]
    await admin.post(f"{RBAC}/roles", {"metadata": {"name": "r"}, "rules": rules})
    subject = {"kind": "User", "name": "weak", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    await admin.post(
        f"{RBAC}/rolebindings", {"metadata": {"name": "r"}, "roleRef": role, "subjects": [subject]}
    )
    lease: Any = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}}
    type = "application/json" if method == "PUT" else APPLY
    path = f"{LEASES}/a?fieldManager=m"
    refused = await cluster.client("weak").call(method, path, lease, type=type)
    assert (refused.code, refused["message"]) == (
        403,
        'leases.coordination.k8s.io "a" is forbidden: User "weak" cannot create resource "leases" in API group '
        '"coordination.k8s.io" in the namespace "default"',
    )
    made = await admin.call(method, path, lease, type=type)
    lease["metadata"] = {"name": "a", "labels": {"a": "b"}}
    lease["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    changed = await cluster.client("weak").call(method, path, lease, type=type)
    assert (made.code, changed.code) == (201, 200)


async def test_names_of_field_managers(admin: Client) -> None:
    """A manager's name is printable; what is not is named with its place."""
    answer = await admin.post(f"{CONFIG_MAPS}?fieldManager=a%0Ab", {"metadata": {"name": "a"}})
    assert answer["details"]["causes"][0]["message"] == (
        'Invalid value: "a\\nb": invalid character U+000A (at position 1)'
    )
