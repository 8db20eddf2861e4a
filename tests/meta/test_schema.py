"""The facts of Kubernetes' schema, the types made of them, and OpenAPI."""

import tracemalloc

import pytest

from minikube_py.meta import facts, schema
from minikube_py.meta.kind import Kind
from minikube_py.meta.schema import schema_for, type_for, type_of


def test_facts_of_a_pod() -> None:
    """Lists, keys, merge keys, formats and required fields of a Pod are known."""
    pod = schema_for("v1", "Pod")
    assert pod is not None
    containers = pod.fields["spec"].fields["containers"]
    ports = containers.items.fields["ports"]
    assert (
        containers.list_type,
        containers.list_keys,
        containers.merge_key,
        "merge" in containers.strategies,
    ) == ("map", ("name",), "name", True)
    assert (ports.list_keys, ports.key_defaults) == (("containerPort", "protocol"), {"protocol": "TCP"})
    assert ports.merge_key == "containerPort"
    assert containers.items.required == ("name",)
    assert containers.items.fields["resources"].fields["limits"].items.form == "quantity"
    assert type_for("io.k8s.api.core.v1.HTTPGetAction").fields["port"].form == "int-or-string"
    assert pod.fields["spec"].fields["nodeSelector"].atomic
    assert {"merge", "retainKeys"} == pod.fields["spec"].fields["volumes"].strategies


def test_unknown_kinds_have_no_facts() -> None:
    """What Kubernetes does not have has no schema, and takes any field as a custom resource."""
    assert schema_for("example.com/v1", "Widget") is None
    widget = type_of(Kind("Widget", "example.com/v1", "widgets"))
    assert widget.field("spec") is schema.DEDUCED_TYPE
    assert widget.fields["metadata"].fields["labels"].form == "map"


def test_a_custom_schema_is_compiled_once() -> None:
    """The type of a custom resource comes from its OpenAPI schema and is shared."""
    kind = Kind(
        "Widget",
        "example.com/v1",
        "widgets",
        schema={
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "size": {"type": "integer"},
                        "port": {"x-kubernetes-int-or-string": True},
                        "parts": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"],
                            "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                        },
                        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    },
                }
            },
        },
    )
    spec = type_of(kind).fields["spec"]
    assert type_of(kind) is type_of(kind)
    assert [one.form for one in spec.fields.values()] == ["int64", "int-or-string", "list", "deduced"]
    assert spec.fields["parts"].list_keys == ("name",)


@pytest.mark.parametrize("version", [2, 3])
def test_openapi_references_resolve(version: int) -> None:
    """Every reference of the OpenAPI definitions names a definition, in that version's form."""
    found = dict(facts.openapi_definitions(version, explained=False))
    prefix = "#/definitions/" if version == 2 else "#/components/schemas/"
    refs = {ref for one in found.values() for ref in facts.referenced(one)}
    assert set() == refs - found.keys()
    text = str(found["io.k8s.api.core.v1.Pod"])
    assert f"{prefix}io.k8s.api.core.v1.PodSpec" in text


def test_openapi_shapes() -> None:
    """Special types and extensions stand in OpenAPI as Kubernetes writes them."""
    v2, v3 = (dict(facts.openapi_definitions(version)) for version in (2, 3))
    quantity, port = (
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    )
    assert v2[quantity]["type"] == "string"
    assert "format" not in v2[quantity]
    assert (v2[port]["type"], v2[port]["format"]) == ("string", "int-or-string")
    assert v3[quantity]["oneOf"] == [{"type": "string"}, {"type": "number"}]
    deployment = v2["io.k8s.api.apps.v1.Deployment"]
    assert deployment["x-kubernetes-group-version-kind"] == [
        {"group": "apps", "kind": "Deployment", "version": "v1"}
    ]
    assert "Deployment enables declarative updates" in deployment["description"]
    strategy = v2["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"
    wrapped = v3["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert wrapped["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}]


def test_definitions_are_the_callers_own() -> None:
    """A definition may be changed by who asked for it, without a trace."""
    name = "io.k8s.api.core.v1.Pod"
    facts.definition(name)["properties"].clear()
    assert "spec" in facts.definition(name)["properties"]


def test_facts_are_small() -> None:
    """The facts and the types of common kinds take less than 6 MB."""
    tracemalloc.start()
    try:
        facts.facts.cache_clear()
        facts.facts()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 6_000_000


def test_every_kind_compiles() -> None:
    """Each built-in kind has a walkable type for which every field's type is known."""
    seen: set[int] = set()

    def walk(type: schema.Type) -> None:
        if id(type) in seen:
            return
        seen.add(id(type))
        assert type.form
        for child in type.fields.values():
            walk(child)
        if type.form in ("map", "list"):
            walk(type.items)

    for name in facts.facts().kinds.values():
        walk(type_for(name))
    assert len(seen) > 1000
