"""kubectl's less travelled commands, with the texts that people and scripts know from Kubernetes."""

import json
from typing import Any

import pytest
from conftest import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

SLEEP = ["/bin/busybox", "sleep", "3600"]


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    """A Deployment of sleeping pods that end at once."""
    labels = {"app": name}
    containers = [{"name": "c", "image": "demo:1", "command": SLEEP}]
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": containers},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def config_map(**data: str) -> str:
    """A manifest of the ConfigMap `c`."""
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})


def test_three_way_apply(cluster: Cluster, namespace: str) -> None:
    """apply removes what left the manifest, keeps what others set, and tells what diff told before."""

    def apply(manifest: str, *flags: str) -> str:
        return cluster.kubectl("apply", "-n", namespace, "-f", "-", *flags, input=manifest)

    assert apply(config_map(a="1", b="2"), "--dry-run=server") == "configmap/c created (server dry run)\n"
    assert apply(config_map(a="1", b="2")) == "configmap/c created\n"
    cluster.kubectl("patch", "-n", namespace, "cm/c", "-p", '{"data":{"mine":"3"}}')
    told = cluster.kubectl("diff", "-n", namespace, "-f", "-", input=config_map(a="9"), code=1)
    changes = [line for line in told.splitlines() if line[:4] in ("+  a", "-  a", "-  b")]
    assert changes == ['-  a: "1"', '-  b: "2"', '+  a: "9"']
    assert apply(config_map(a="9")) == "configmap/c configured\n"
    assert cluster.get("-n", namespace, "cm/c")["data"] == {"a": "9", "mine": "3"}
    assert apply(config_map(a="9")) == "configmap/c unchanged\n"


def test_server_side_apply(cluster: Cluster, namespace: str) -> None:
    """Two managers conflict by name; force takes over; what its owner leaves out goes."""

    def apply(manager: str, manifest: str, *flags: str, code: int = 0) -> str:
        flags = ("apply", "--server-side", f"--field-manager={manager}", "-n", namespace, "-f", "-", *flags)
        return cluster.kubectl(*flags, input=manifest, code=code)

    assert apply("one", config_map(a="1", b="2")) == "configmap/c serverside-applied\n"
    told = apply("two", config_map(a="9"), code=1)
    assert 'Apply failed with 1 conflict: conflict with "one": .data.a' in told
    apply("two", config_map(a="9"), "--force-conflicts")
    apply("one", config_map(c="3"))
    found = cluster.get("-n", namespace, "cm/c", "--show-managed-fields")
    assert found["data"] == {"a": "9", "c": "3"}
    owners = {entry["manager"]: entry["fieldsV1"]["f:data"] for entry in found["metadata"]["managedFields"]}
    assert owners == {"one": {"f:c": {}}, "two": {"f:a": {}}}


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (
            "kind: Nothing\napiVersion: v1\nmetadata: {name: x}",
            'error: resource mapping not found for name: "x" namespace: "" from "STDIN": '
            'no matches for kind "Nothing" in version "v1"\nensure CRDs are installed first',
        ),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: x", "error converting YAML to JSON: yaml: line "),
        (
            json.dumps(deployment("x", colour="red")),
            'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
            'unknown field "spec.colour"',
        ),
        (
            json.dumps(deployment("x", replicas="three")),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            json.dumps(deployment("x", replicas=-1)),
            'The Deployment "x" is invalid: spec.replicas: Invalid value: -1: '
            "must be greater than or equal to 0",
        ),
        (json.dumps(deployment("No_Name")), 'metadata.name: Invalid value: "No_Name": a lowercase RFC 1123'),
    ],
    ids=["kind", "yaml", "field", "type", "value", "name"],
)
def test_bad_manifests(cluster: Cluster, manifest: str, told: str) -> None:
    """What is wrong with a manifest is told in Kubernetes' words."""
    assert told in cluster.kubectl("apply", "-f", "-", input=manifest, code=1)


def test_patches(cluster: Cluster, namespace: str) -> None:
    """Every type of patch, to the object, its scale and its status; bad ones say why."""

    def patch(type: str, body: Any, *more: str, code: int = 0) -> str:
        given = ("-n", namespace, "deploy/d", f"--type={type}", "-p", json.dumps(body), *more)
        return cluster.kubectl("patch", *given, code=code)

    manifest = json.dumps(deployment("d", replicas=0))
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=manifest)
    patch(
        "strategic", {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A"}]}]}}}}
    )
    patch("merge", {"metadata": {"labels": {"x": "y"}}})
    patch(
        "json",
        [{"op": "test", "path": "/spec/replicas", "value": 0}, {"op": "remove", "path": "/metadata/labels/x"}],
    )
    patch("merge", {"spec": {"replicas": 0}}, "--subresource=scale")
    patch("merge", {"status": {"replicas": 7}}, "--subresource=status", "--dry-run=server")
    container = cluster.get("-n", namespace, "deploy/d")["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("demo:1", [{"name": "A"}])
    failed = "The request is invalid: the server rejected our request due to an error in our request"
    wrong = [{"op": "test", "path": "/spec/replicas", "value": 9}]
    assert patch("json", wrong, code=1).strip() == failed
    told = patch("merge", {"spec": {"replicas": "x"}}, code=1)
    assert told.startswith("The request is invalid: patch: Invalid value: ")
    assert patch("json", {"a": 1}, code=1).startswith("Error from server (BadRequest): error decoding patch: ")


def test_views(cluster: Cluster, namespace: str) -> None:
    """jsonpath, custom columns, sorting, labels, subresources and raw paths show what there is."""
    manifest = json.dumps(deployment("d", replicas=0))
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=manifest)
    for name in ("b", "a"):
        cluster.kubectl("create", "-n", namespace, "cm", name, "--from-literal=k=v")

    def get(*arguments: str) -> list[str]:
        return cluster.kubectl("get", "-n", namespace, *arguments).splitlines()

    assert get("cm/a", "-o", "jsonpath={.data.k}") == ["v"]
    table = get("cm", "a", "b", "-o", "custom-columns=N:.metadata.name,K:.data.k")
    assert [row.split() for row in table] == [["N", "K"], ["a", "v"], ["b", "v"]]
    chosen = "--field-selector=metadata.name!=kube-root-ca.crt"
    newest = get("cm", chosen, "--sort-by=.metadata.resourceVersion", "-o", "name")
    assert newest == ["configmap/b", "configmap/a"]
    assert get("deploy/d", "--subresource=scale")[0].split() == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    assert get("deploy/d", "--subresource=status")[0].split() == [
        "NAME",
        "READY",
        "UP-TO-DATE",
        "AVAILABLE",
        "AGE",
    ]
    assert get("deploy/d", "--show-labels")[0].split()[-1] == "LABELS"
    raw = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/configmaps?limit=1"))
    assert (len(raw["items"]), raw["metadata"]["remainingItemCount"]) == (1, 2)
    assert cluster.kubectl("get", "-n", namespace, "cm", "--chunk-size=1").count("\n") == 4
    told = cluster.kubectl("get", "pods", "--field-selector=foo=bar", code=1)
    assert told.endswith('field selector "foo=bar": field label not supported: foo\n')


def test_deletion_variants(cluster: Cluster, namespace: str) -> None:
    """Orphans stay, the foreground waits, labels and all choose; Jobs keep their pods where nobody says."""
    manifest = json.dumps(deployment("d"))
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=manifest)
    cluster.wait("deploy/d", "condition=Available", "-n", namespace)
    cluster.kubectl("delete", "-n", namespace, "deploy/d", "--cascade=orphan")
    (left,) = cluster.get("-n", namespace, "rs", "-l", "app=d")["items"]
    assert left["metadata"].get("ownerReferences", []) == []
    cluster.kubectl("delete", "-n", namespace, "rs", "-l", "app=d", "--cascade=foreground")
    assert cluster.get("-n", namespace, "pods", "-l", "app=d")["items"] == []
    job = {
        "metadata": {"name": "j"},
        "spec": {"suspend": True, "template": deployment("j")["spec"]["template"]},
    }
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    cluster.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(job))
    told = cluster.kubectl("delete", "--raw", f"{path}/j", code=0)
    assert json.loads(told)["metadata"]["finalizers"] == ["orphan"]
    cluster.kubectl("create", "-n", namespace, "cm", "a")
    gone = cluster.kubectl("delete", "-n", namespace, "cm", "--field-selector=metadata.name=a")
    assert gone == 'configmap "a" deleted\n'


def test_who_may_do_what(cluster: Cluster, namespace: str) -> None:
    """whoami, can-i and reconcile agree with the roles."""

    def as_robot(verb: str, code: int) -> str:
        robot = f"--as=system:serviceaccount:{namespace}:robot"
        return cluster.kubectl("auth", "can-i", verb, "pods", "-n", namespace, robot, code=code).split()[0]

    assert "kubernetes-admin" in cluster.kubectl("auth", "whoami")
    cluster.kubectl("create", "-n", namespace, "sa", "robot")
    assert as_robot("get", 1) == "no"
    role = {"metadata": {"name": "r", "namespace": namespace}, "apiVersion": "rbac.authorization.k8s.io/v1"}
    role |= {"kind": "Role", "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    cluster.kubectl("auth", "reconcile", "-f", "-", input=json.dumps(role))
    cluster.kubectl(
        "create", "-n", namespace, "rolebinding", "b", "--role=r", f"--serviceaccount={namespace}:robot"
    )
    assert (as_robot("get", 0), as_robot("delete", 1)) == ("yes", "no")
    refused = cluster.kubectl("get", "secrets", "-n", namespace, "--as=bob", code=1)
    assert refused == (
        'Error from server (Forbidden): secrets is forbidden: User "bob" cannot list resource "secrets" in API '
        f'group "" in the namespace "{namespace}"\n'
    )


def test_explain_and_discovery(cluster: Cluster) -> None:
    """Every resource can be explained, and is found by its short name."""
    names = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    assert {"pods", "deployments.apps", "jobs.batch", "leases.coordination.k8s.io"} <= set(names)
    assert "FIELDS:" in cluster.kubectl("explain", "pod.spec.containers", "--recursive")
    assert cluster.kubectl("get", "po,svc,deploy,ds,rs,ep,cm,sa,ns,no,ev,pc", "-A", "-o", "name")
    assert "v1" in cluster.kubectl("api-versions").split()


def test_describe_everything(cluster: Cluster) -> None:
    """describe works on every kind that is listed."""
    kinds = "nodes,namespaces,services,endpointslices,configmaps,serviceaccounts,leases,roles,rolebindings"
    told = cluster.kubectl("describe", kinds, "-n", "kube-system")
    assert told.count("\nName:") >= 8
