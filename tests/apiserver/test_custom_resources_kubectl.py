"""Custom resources through kubectl and the public Python client: what people and programs do with them."""

import asyncio
import json
from typing import Any

import yaml
from api_cluster import Client, Cluster, Kubectl
from custom_resources import definition, establish, version, widget
from kubernetes import client as k8s
from kubernetes import config as k8s_config

from minikube_py.meta.objects import Obj


def certificates() -> Obj:
    """A definition in the shape that controller-gen makes, after cert-manager's Certificate."""
    text = {"type": "string"}
    condition = {
        "description": "Condition tells one aspect of the state.",
        "type": "object",
        "required": ["status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": text,
            "observedGeneration": {"type": "integer", "format": "int64"},
            "reason": text,
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "type": text,
        },
    }
    algorithm = {"type": "string", "enum": ["RSA", "ECDSA", "Ed25519"]}
    key = {"type": "object", "properties": {"algorithm": algorithm, "size": {"type": "integer"}}}
    issuer = {
        "description": "Reference to the issuer.",
        "type": "object",
        "required": ["name"],
        "properties": {"group": text, "kind": {"type": "string", "default": "Issuer"}, "name": text},
    }
    template = {
        "type": "object",
        "properties": {
            "annotations": {"type": "object", "additionalProperties": text},
            "labels": {"type": "object", "additionalProperties": text},
        },
    }
    spec = {
        "description": "Specification of the desired state.",
        "type": "object",
        "required": ["issuerRef", "secretName"],
        "properties": {
            "commonName": text,
            "dnsNames": {"type": "array", "items": text, "x-kubernetes-list-type": "atomic"},
            "duration": {"description": "Requested lifetime.", "type": "string"},
            "issuerRef": issuer,
            "privateKey": key,
            "resources": {
                "type": "object",
                "additionalProperties": {
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                    "pattern": "^[0-9]+(m|Ki|Mi)?$",
                    "x-kubernetes-int-or-string": True,
                },
            },
            "secretName": text,
            "secretTemplate": template,
            "usages": {"type": "array", "items": {"type": "string", "enum": ["signing", "digital signature"]}},
        },
    }
    conditions = {
        "type": "array",
        "items": condition,
        "x-kubernetes-list-map-keys": ["type"],
        "x-kubernetes-list-type": "map",
    }
    status = {"type": "object", "properties": {"conditions": conditions, "revision": {"type": "integer"}}}
    root = {
        "description": "A Certificate should be stored in the Secret that it names.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": text,
            "kind": text,
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    columns = [
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Secret", "type": "string", "jsonPath": ".spec.secretName"},
        {"name": "Issuer", "type": "string", "jsonPath": ".spec.issuerRef.name", "priority": 1},
        {"name": "Names", "type": "string", "jsonPath": ".spec.dnsNames", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    made = version(schema=root, subresources={"status": {}}, additionalPrinterColumns=columns)
    names = {"shortNames": ["cert"], "categories": ["cert-manager"], "singular": "certificate"}
    return definition("Certificate", made, group="cert-manager.example.com", names=names)


CERTIFICATE = """
apiVersion: cert-manager.example.com/v1
kind: Certificate
metadata: {name: web}
spec:
  secretName: web-tls
  dnsNames: [a.example.com, b.example.com]
  issuerRef: {name: letsencrypt}
  resources: {cpu: 5, memory: 10Mi}
"""


async def test_the_life_of_a_definition_by_kubectl(kubectl: Kubectl) -> None:
    """apply, wait, explain, apply, get in every form, edit by patch, delete: as people type them."""
    await kubectl("apply", "-f", "-", input=yaml.safe_dump(certificates()))
    name = "certificates.cert-manager.example.com"
    await kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=5s")
    explained = (await kubectl("explain", "certificates.spec", "--recursive")).stdout
    assert "issuerRef\t<Object> -required-" in explained
    assert "Reference to the issuer." in (await kubectl("explain", "cert.spec.issuerRef")).stdout
    assert "created" in (await kubectl("apply", "-f", "-", input=CERTIFICATE)).stdout
    assert "unchanged" in (await kubectl("apply", "-f", "-", input=CERTIFICATE)).stdout
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await kubectl("patch", "cert", "web", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    table = (await kubectl("get", "cert")).stdout.split("\n")
    assert (
        table[0].split(),
        table[1].split()[:3],
    ) == (["NAME", "READY", "SECRET", "AGE"], ["web", "True", "web-tls"])
    wide = (await kubectl("get", "cert-manager", "-o", "wide")).stdout
    assert '["a.example.com","b.example.com"]' in wide
    kind = await kubectl("get", "cert", "web", "-o", "jsonpath={.spec.issuerRef.kind}")
    assert kind.stdout == "Issuer"
    wrong = CERTIFICATE.replace("secretName", "secretNam").replace("10Mi", "10 MB")
    refused = await kubectl("apply", "-f", "-", input=wrong, check=False)
    assert 'unknown field "spec.secretNam"' in refused.stderr
    refused = await kubectl("apply", "-f", "-", "--validate=false", input=wrong, check=False)
    assert 'The Certificate "web" is invalid' in refused.stderr
    assert "spec.resources.memory in body should match '^[0-9]+(m|Ki|Mi)?$'" in refused.stderr
    resources = (await kubectl("api-resources", "--api-group=cert-manager.example.com", "-o", "wide")).stdout
    assert resources.split("\n")[1].split()[:5] == [
        "certificates",
        "cert",
        "cert-manager.example.com/v1",
        "true",
        "Certificate",
    ]
    deleted = await kubectl("delete", "crd", name, "--timeout=10s")
    assert f'customresourcedefinition.apiextensions.k8s.io "{name}" deleted' in deleted.stdout
    assert "could not find the requested resource" in (await kubectl("get", "cert", check=False)).stderr


async def test_the_age_of_kinds_without_columns(admin: Client, kubectl: Kubectl) -> None:
    """Without columns of its own a kind shows names and ages."""
    await establish(admin, definition())
    await admin.post("/apis/example.com/v1/namespaces/default/widgets", widget())
    assert (await kubectl("get", "widgets")).stdout.split("\n")[0].split() == ["NAME", "AGE"]


async def test_the_python_client(cluster: Cluster, admin: Client) -> None:
    """A program creates a definition and its objects, patches, lists, watches and deletes them."""
    path = cluster.kubeconfig("python", "system:masters")

    def run() -> list[Any]:
        connect: Any = k8s_config.new_client_from_config
        api = connect(str(path))
        try:
            return list(_program(k8s.ApiextensionsV1Api(api), k8s.CustomObjectsApi(api)))
        finally:
            api.close()

    names, size, replaced, listed, code = await asyncio.to_thread(run)
    assert (names, size, replaced, listed, code) == ("Widget", 3, 5, ["w"], 404)


def _program(definitions: Any, objects: Any) -> Any:
    definitions.create_custom_resource_definition(certificates() | definition())
    place = ("example.com", "v1", "default", "widgets")
    while not (found := definitions.read_custom_resource_definition("widgets.example.com")).status.conditions:
        pass
    yield found.status.accepted_names.kind
    made = objects.create_namespaced_custom_object(*place, widget())
    yield made["spec"]["size"]
    made["spec"]["size"] = 5
    yield objects.replace_namespaced_custom_object(*place, "w", made)["spec"]["size"]
    yield [one["metadata"]["name"] for one in objects.list_namespaced_custom_object(*place)["items"]]
    objects.delete_namespaced_custom_object(*place, "w")
    try:
        objects.get_namespaced_custom_object(*place, "w")
    except k8s.ApiException as error:
        yield error.status


async def test_openapi_tells_of_custom_kinds(admin: Client) -> None:
    """Both versions of OpenAPI have the kind at once, and lose it with its definition."""
    await establish(admin, certificates())
    path, name = "/openapi/v3/apis/cert-manager.example.com/v1", "com.example.cert-manager.v1.Certificate"
    third = (await admin.get(path))["components"]["schemas"]
    assert third[name]["x-kubernetes-group-version-kind"] == [
        {"group": "cert-manager.example.com", "kind": "Certificate", "version": "v1"}
    ]
    spec = third[name]["properties"]["spec"]["properties"]
    assert (
        spec["issuerRef"]["properties"]["kind"]["default"],
        spec["dnsNames"]["x-kubernetes-list-type"],
    ) == ("Issuer", "atomic")
    ref = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert [{"$ref": ref}] == third[name]["properties"]["metadata"]["allOf"]
    assert third[f"{name}List"]["required"] == ["items"]
    second = (await admin.get("/openapi/v2"))["definitions"][name]
    quantity = second["properties"]["spec"]["properties"]["resources"]["additionalProperties"]
    assert quantity == {"pattern": "^[0-9]+(m|Ki|Mi)?$", "x-kubernetes-int-or-string": True}
    proto = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    async with admin.request("GET", "/openapi/v2", headers={"Accept": proto}) as response:
        assert (response.status, name.encode() in await response.read()) == (200, True)
