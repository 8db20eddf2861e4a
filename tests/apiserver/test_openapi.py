"""OpenAPI documents."""

import gzip
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from minikube_py.apiserver import openapi_wire
from minikube_py.apiserver.openapi import OpenApi
from minikube_py.apiserver.openapi_pieces import JSON, Form, Pieces
from minikube_py.apiserver.openapi_pieces import PROTOBUF as PROTOBUF_FORM
from minikube_py.collect import values
from minikube_py.errors import NotAcceptable
from minikube_py.meta.facts import referenced
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.catalogue import Catalogue

PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
REVIEW = Kind("TokenReview", "authentication.k8s.io/v1", "tokenreviews", namespaced=False, verbs=("create",))
WIDGET = Kind(
    "Widget",
    "example.com/v1",
    "widgets",
    subresources=("status",),
    schema={
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "port": {
                        "x-kubernetes-int-or-string": True,
                        "anyOf": [{"type": "integer"}, {"type": "string"}],
                    },
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        },
    },
)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(values("minikube_py.kinds", Kind))


@pytest.fixture
def openapi(catalogue: Catalogue) -> OpenApi:
    return OpenApi(catalogue, (REVIEW,))


async def read(openapi: OpenApi, path: str) -> Obj:
    document = await openapi.get(path, "application/json")
    assert document is not None
    body: Obj = orjson.loads(document.body)
    return body


async def test_the_index(catalogue: Catalogue, openapi: OpenApi) -> None:
    """The index says where the document of each group version is, with a hash of what it is made of."""
    index = (await read(openapi, "/openapi/v3"))["paths"]
    served = {kind.path().rpartition("/")[0].removeprefix("/") for kind in (*catalogue.all(), REVIEW)}
    assert list(index) == sorted(served)
    assert {"api/v1", "apis/apps/v1", "apis/authentication.k8s.io/v1"} <= set(index)
    url, _, digest = index["apis/apps/v1"]["serverRelativeURL"].partition("?hash=")
    assert (url, len(digest)) == ("/openapi/v3/apis/apps/v1", 128)
    assert await openapi.get("/openapi/v3/apis/apps/v9") is None


@pytest.mark.parametrize("path", ["/openapi/v3/api/v1", "/openapi/v3/apis/apps/v1", "/openapi/v2"])
async def test_every_reference_resolves(openapi: OpenApi, path: str) -> None:
    """A document holds each schema that it refers to, and none that it does not need."""
    body = await read(openapi, path)
    schemas = body["definitions"] if path == "/openapi/v2" else body["components"]["schemas"]
    assert set(referenced(body)) == set(schemas)


async def test_a_document_in_version_3(openapi: OpenApi) -> None:
    """A patch names its kind, its action and the parameters by which kubectl knows what the server can do."""
    body = await read(openapi, "/openapi/v3/apis/apps/v1")
    item = body["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    patch = item["patch"]
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert [(p["name"], p["in"]) for p in patch["parameters"]] == [
        ("dryRun", "query"),
        ("fieldManager", "query"),
        ("fieldValidation", "query"),
        ("force", "query"),
    ]
    assert [p["name"] for p in item["parameters"]] == ["name", "namespace", "pretty"]
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]
    schema = body["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]
    gvk = {"group": "apps", "kind": "Deployment", "version": "v1"}
    assert schema["x-kubernetes-group-version-kind"] == [gvk]
    containers = body["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"


async def test_paths_of_a_kind(openapi: OpenApi) -> None:
    """Each kind has its collection, its objects and its subresources, with the methods of its verbs."""
    paths = (await read(openapi, "/openapi/v3/api/v1"))["paths"]

    def actions(path: str) -> list[str]:
        return [value["x-kubernetes-action"] for key, value in paths[path].items() if key != "parameters"]

    assert actions("/api/v1/namespaces/{namespace}/pods") == ["list", "post", "deletecollection"]
    assert actions("/api/v1/pods") == ["list"]
    assert actions("/api/v1/namespaces/{namespace}/pods/{name}") == ["get", "put", "patch", "delete"]
    assert actions("/api/v1/namespaces/{namespace}/pods/{name}/exec") == ["connect", "connect"]
    assert actions("/api/v1/namespaces") == ["list", "post"]
    eviction = paths["/api/v1/namespaces/{namespace}/pods/{name}/eviction"]["post"]
    gvk = {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert eviction["x-kubernetes-group-version-kind"] == gvk
    ids = [op["operationId"] for item in paths.values() for key, op in item.items() if key != "parameters"]
    assert sorted(ids) == sorted(set(ids))
    assert "createCoreV1NamespacedPod" in ids


async def test_bytes_are_kept_compressed(catalogue: Catalogue, openapi: OpenApi) -> None:
    """A document is built once, until its own kinds change; clients without gzip get it plain."""
    path = "/openapi/v3/apis/apps/v1"
    packed = await openapi.get(path, gzip=True)
    plain = await openapi.get(path)
    assert packed is not None
    assert plain is not None
    assert (packed.encoding, plain.encoding) == ("gzip", "")
    assert gzip.decompress(packed.body) == plain.body
    assert await openapi.get(path, gzip=True) is packed
    index, whole = await openapi.get("/openapi/v3"), await openapi.get("/openapi/v2")
    catalogue.add(WIDGET)
    assert await openapi.get(path, gzip=True) is packed
    assert await openapi.get("/openapi/v3") != index
    assert await openapi.get("/openapi/v2") != whole
    catalogue.add(Kind("Widget", "apps/v1", "widgets", schema=WIDGET.schema))
    assert await openapi.get(path, gzip=True) != packed


async def test_a_custom_resource(catalogue: Catalogue, openapi: OpenApi) -> None:
    """A custom resource has its own schema in both versions; what version 2 cannot say is left out."""
    catalogue.add(WIDGET)
    body = await read(openapi, "/openapi/v3/apis/example.com/v1")
    schema = body["components"]["schemas"]["com.example.v1.Widget"]
    gvk = {"group": "example.com", "version": "v1", "kind": "Widget"}
    assert schema["x-kubernetes-group-version-kind"] == [gvk]
    assert schema["properties"]["spec"] == WIDGET.schema["properties"]["spec"]  # type: ignore[index]
    assert "com.example.v1.WidgetList" in body["components"]["schemas"]
    second = (await read(openapi, "/openapi/v2"))["definitions"]["com.example.v1.Widget"]
    assert second["properties"]["spec"] == {
        "type": "object",
        "properties": {
            "size": {"type": "integer", "minimum": 1},
            "port": {"x-kubernetes-int-or-string": True},
            "tags": {"type": "array", "items": {"type": "string"}},
            "any": {"x-kubernetes-preserve-unknown-fields": True},
        },
    }


async def test_forms(openapi: OpenApi) -> None:
    """Version 2 comes as JSON or protobuf as Accept says, version 3 as JSON only."""
    both = await openapi.get("/openapi/v2", f"{PROTOBUF},application/json")
    assert both is not None
    assert both.content_type == PROTOBUF.replace("@", ".")
    plain = await openapi.get("/openapi/v2", "application/json")
    assert plain is not None
    assert plain.content_type == "application/json"
    with pytest.raises(NotAcceptable):
        await openapi.get("/openapi/v3", PROTOBUF)
    with pytest.raises(NotAcceptable):
        await openapi.get("/openapi/v2", "text/html")


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: numbers and raw values."""
    position = 0

    def varint() -> int:
        nonlocal position
        shift = number = 0
        while True:
            byte = data[position]
            position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while position < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            length = varint()
            yield tag >> 3, data[position : position + length]
            position += length


def child(data: bytes, number: int) -> bytes:
    return next(value for found, value in fields(data) if found == number)


def entries(data: bytes, number: int) -> dict[str, bytes]:
    """A map: its entries are messages of a name (1) and a value (2)."""
    listed = (value for found, value in fields(data) if found == number)
    return {child(value, 1).decode(): child(value, 2) for value in listed}


async def test_version_2_in_protobuf(openapi: OpenApi) -> None:
    """The protobuf form says what the JSON form says, at the numbers of gnostic's messages."""
    document = await openapi.get("/openapi/v2", PROTOBUF)
    assert document is not None
    body = await read(openapi, "/openapi/v2")
    assert child(document.body, 1) == b"2.0"
    schemas = entries(child(document.body, 9), 1)
    assert list(schemas) == list(body["definitions"])
    name = "io.k8s.api.core.v1.ContainerPort"
    properties = entries(child(schemas[name], 25), 1)
    assert list(properties) == list(body["definitions"][name]["properties"])
    assert child(child(properties["hostPort"], 22), 1) == b"integer"
    assert child(child(properties["protocol"], 5), 2) == b'"TCP"\n'
    paths = entries(child(document.body, 8), 2)
    assert list(paths) == list(body["paths"])
    patch = child(paths["/api/v1/namespaces/{namespace}/pods/{name}"], 8)
    extensions = entries(patch, 13)
    gvk = orjson.loads(child(extensions["x-kubernetes-group-version-kind"], 2))
    assert gvk == {"group": "", "version": "v1", "kind": "Pod"}
    parameters = [child(value, 1) for number, value in fields(patch) if number == 8]
    queries = [child(child(one, 2), 3) for one in parameters if any(n == 2 for n, _ in fields(one))]
    assert [child(query, 4) for query in queries] == [b"dryRun", b"fieldManager", b"fieldValidation", b"force"]
    answers = entries(child(patch, 9), 1)
    reference = child(child(child(child(answers["200"], 1), 2), 1), 1)
    assert reference == b"#/definitions/io.k8s.api.core.v1.Pod"


def test_unknown_fields_are_refused_by_the_writer() -> None:
    """The writer knows what our documents say, and refuses what it would lose."""
    with pytest.raises(KeyError):
        openapi_wire.encode({"swagger": "2.0", "tags": []})
    long = openapi_wire.encode({"swagger": "x" * 300})
    assert list(fields(long)) == [(1, b"x" * 300)]


@pytest.mark.parametrize("form", [JSON, PROTOBUF_FORM], ids=["JSON", "protobuf"])
def test_version_2_is_joined_from_pieces(catalogue: Catalogue, form: Form) -> None:
    """Another kind costs its own pieces alone, and the whole is as if it were made at once."""
    encoded: list[Obj] = []

    def schema(value: Obj) -> bytes:
        encoded.append(value)
        return form.schema(value)

    pieces = Pieces(form._replace(schema=schema))
    pieces.document(catalogue.all())
    encoded.clear()
    kinds = [*catalogue.all(), WIDGET]
    whole = pieces.document(kinds)
    assert [one["x-kubernetes-group-version-kind"][0]["kind"] for one in encoded] == ["Widget", "WidgetList"]
    assert whole == Pieces(form).document(kinds)
