"""The life of custom resources through real HTTPS: definitions, objects, watches, and their end."""

import asyncio
import json
from typing import Any

from api_cluster import Client, Cluster
from custom_resources import CRDS, conditions, definition, establish, events, until, version, widget

from minikube_py.aio.clock import SystemClock
from minikube_py.apiserver.customresources.lifecycle import CustomResources
from minikube_py.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition
from minikube_py.registry.base import ClusterFacts
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.resource import Registry

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
STATUS: dict[str, Any] = {"subresources": {"status": {}}}


async def test_a_definition_is_established_and_served(admin: Client) -> None:
    """Names are accepted, defaults filled in, and the kind is served as soon as the condition says so."""
    answer = await admin.post(CRDS, definition())
    assert (
        answer.code,
        answer["status"]["acceptedNames"],
        answer["status"]["conditions"],
        answer["status"]["storedVersions"],
    ) == (201, {"kind": "", "plural": ""}, None, ["v1"])
    found = await until(admin, CRDS, "widgets.example.com", "Established")
    assert conditions(found) == {
        "NamesAccepted": ("True", "NoConflicts"),
        "Established": ("True", "InitialNamesAccepted"),
    }
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    assert names == found["status"]["acceptedNames"]
    assert found["spec"]["conversion"] == {"strategy": "None"}
    listed = await admin.get("/apis/example.com/v1/widgets")
    assert (listed["kind"], listed["apiVersion"], listed["items"]) == ("WidgetList", "example.com/v1", [])
    served = await admin.get("/apis/example.com/v1")
    assert [(one["name"], one["singularName"], one["kind"]) for one in served["resources"]] == [
        ("widgets", "widget", "Widget")
    ]


async def test_objects_are_pruned_given_defaults_and_judged(admin: Client) -> None:
    """A custom resource passes decoding, defaulting and validation as upstream."""
    await establish(admin, definition())
    made = await admin.post(WIDGETS, widget(spec={"color": None, "more": 1}))
    assert (made.code, made["spec"], made["metadata"]["generation"]) == (201, {"size": 3}, 1)
    assert made.headers["Warning"] == '299 - "unknown field \\"spec.more\\""'
    strict = await admin.post(f"{WIDGETS}?fieldValidation=Strict", widget("x", spec={"more": 1}))
    assert (strict.code, 'strict decoding error: unknown field "spec.more"' in strict["message"]) == (400, True)
    wrong = await admin.post(WIDGETS, widget("x", spec={"size": "big", "color": 1}))
    assert (wrong.code, wrong["reason"]) == (422, "Invalid")
    assert wrong["message"] == (
        'Widget.example.com "x" is invalid: [spec.size: Invalid value: "string": spec.size in body must be of '
        'type integer: "string", spec.color: Invalid value: "integer": spec.color in body must be of type '
        'string: "integer"]'
    )
    body = {"spec": {"size": 11}}
    patched = await admin.call("PATCH", f"{WIDGETS}/w", body, type="application/merge-patch+json")
    assert patched["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: 11: spec.size in body should be less than or equal to 10",
            "field": "spec.size",
        }
    ]
    strategic = await admin.call("PATCH", f"{WIDGETS}/w", body, type="application/strategic-merge-patch+json")
    assert strategic.code == 415
    unnamed = await admin.call("PUT", f"{WIDGETS}/w", widget(spec={"size": 4}))
    assert (unnamed.code, "metadata.resourceVersion: Invalid value: 0x0" in unnamed["message"]) == (422, True)


async def test_status_and_scale(admin: Client) -> None:
    """With the subresources spec and status never touch each other; generation counts the spec's changes."""
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    await establish(admin, definition("Widget", version(subresources={"status": {}, "scale": scale})))
    made = await admin.post(WIDGETS, widget(status={"size": 9}))
    assert "status" not in made.body
    body = {**made.body, "spec": {"size": 8}, "status": {"size": 2}}
    body["metadata"] = {**body["metadata"], "labels": {"a": "b"}}
    told = await admin.call("PUT", f"{WIDGETS}/w/status", body)
    assert (told["spec"], told["status"], told["metadata"]["generation"]) == ({"size": 3}, {"size": 2}, 1)
    assert "labels" not in told["metadata"]
    changed = await admin.call(
        "PATCH", f"{WIDGETS}/w", {"spec": {"size": 4}, "status": None}, type="application/merge-patch+json"
    )
    assert (
        changed["spec"],
        changed["status"],
        changed["metadata"]["generation"],
    ) == ({"size": 4}, {"size": 2}, 2)
    replicas = {"spec": {"replicas": 5}}
    scaled = await admin.call("PATCH", f"{WIDGETS}/w/scale", replicas, type="application/merge-patch+json")
    assert (scaled.code, scaled["spec"], scaled["status"]) == (200, {"replicas": 5}, {"replicas": 2})
    refused = await admin.call(
        "PATCH", f"{WIDGETS}/w/scale", {"spec": {"replicas": 99}}, type="application/merge-patch+json"
    )
    assert (refused.code, "should be less than or equal to 10" in refused["message"]) == (422, True)


async def test_without_a_status_subresource_all_of_it_counts(admin: Client) -> None:
    """Without the subresource status is a field like others: written with the rest, counted as a change."""
    await establish(admin, definition())
    made = await admin.post(WIDGETS, widget(status={"size": 1}))
    body = {"status": {"size": 2}}
    changed = await admin.call("PATCH", f"{WIDGETS}/w", body, type="application/merge-patch+json")
    assert (
        made["status"],
        changed["status"],
        changed["metadata"]["generation"],
    ) == ({"size": 1}, {"size": 2}, 2)
    assert (await admin.get(f"{WIDGETS}/w/status")).code == 404


async def test_conflicting_names_are_refused(admin: Client) -> None:
    """The second definition that wants a name of the group waits until it is free."""
    await establish(admin, definition("Widget", names={"shortNames": ["wd"]}))
    other = definition("Gadget", names={"shortNames": ["wd"]})
    await admin.post(CRDS, other)
    found = await until(admin, CRDS, "gadgets.example.com", "NamesAccepted", "False")
    assert conditions(found) == {
        "NamesAccepted": ("False", "ShortNamesConflict"),
        "Established": ("False", "NotAccepted"),
    }
    message = next(one["message"] for one in found["status"]["conditions"] if one["type"] == "NamesAccepted")
    assert message == '"wd" is already in use'
    assert (await admin.get("/apis/example.com/v1/gadgets")).code == 404
    await admin.call("DELETE", f"{CRDS}/widgets.example.com")
    freed = await until(admin, CRDS, "gadgets.example.com", "Established")
    assert freed["status"]["acceptedNames"]["shortNames"] == ["wd"]


async def test_a_definition_with_bad_schema_is_refused(admin: Client) -> None:
    """The faults of a schema are told where upstream tells them: at the top where there is one version."""
    bad = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {}}}}}
    one = await admin.post(CRDS, definition("Widget", version(schema=bad)))
    told = "properties[spec].properties[a].type: Required value: must not be empty for specified object fields"
    assert (one.code, f"spec.validation.openAPIV3Schema.{told}" in one["message"]) == (422, True)
    two = await admin.post(CRDS, definition("Widget", version(schema=bad), version("v2", storage=False)))
    assert (two.code, f"spec.versions[0].schema.openAPIV3Schema.{told}" in two["message"]) == (422, True)
    group = await admin.post(CRDS, definition("Widget", group="widgets.k8s.io"))
    assert (
        group.code,
        "metadata.annotations[api-approved.kubernetes.io]: Required value" in group["message"],
    ) == (422, True)


async def test_what_is_established_stays(admin: Client) -> None:
    """Scope, kind, group and plural of an established definition are immutable, and stored versions stay."""
    await establish(admin, definition())
    stored = (await admin.get(f"{CRDS}/widgets.example.com")).body
    spec = stored["spec"]
    changed = {**stored, "spec": {**spec, "scope": "Cluster", "names": {**spec["names"], "kind": "Thing"}}}
    refused = await admin.call("PUT", f"{CRDS}/widgets.example.com", changed)
    fields = [cause["field"] for cause in refused["details"]["causes"]]
    assert (refused.code, fields) == (422, ["spec.scope", "spec.names.kind"])
    renamed = {**stored, "spec": {**spec, "versions": [version("v2")]}}
    refused = await admin.call("PUT", f"{CRDS}/widgets.example.com", renamed)
    assert "v1 was previously a storage version, and must remain in spec.versions" in refused["message"]


async def test_a_changed_schema_holds_at_once_and_cuts_no_watch(admin: Client) -> None:
    """A request right after an update of the definition meets the new schema; an open watch goes on."""
    await establish(admin, definition())
    await admin.post(WIDGETS, widget("old", spec={"size": 1}))
    revision = (await admin.get(WIDGETS))["metadata"]["resourceVersion"]
    watch = asyncio.ensure_future(events(admin, f"{WIDGETS}?watch=true&resourceVersion={revision}", 2))
    await admin.post(WIDGETS, widget("before"))
    schema = version()["schema"]
    fields = schema["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields["mode"] = {"type": "string", "enum": ["on", "off"], "default": "on"}
    fields["size"] = {"type": "integer", "minimum": 5}
    body = {"spec": {"versions": [version(schema=schema["openAPIV3Schema"])]}}
    changed = await admin.call(
        "PATCH", f"{CRDS}/widgets.example.com", body, type="application/merge-patch+json"
    )
    assert (changed.code, changed["metadata"]["generation"]) == (200, 2)
    made = await admin.post(WIDGETS, widget("after", spec={"size": 7}))
    assert made["spec"] == {"size": 7, "mode": "on"}
    assert [one["object"]["metadata"]["name"] for one in await watch] == ["before", "after"]
    assert (await admin.get(f"{WIDGETS}/old"))["spec"] == {"size": 1, "mode": "on"}
    labelled = {"metadata": {"labels": {"a": "b"}}}
    passed = await admin.call("PATCH", f"{WIDGETS}/old", labelled, type="application/merge-patch+json")
    assert (passed.code, passed["spec"]) == (200, {"size": 1, "mode": "on"})


async def test_deletion_removes_instances_and_respects_finalizers(admin: Client) -> None:
    """Instances go first, those with finalizers when these are gone; nothing is created meanwhile."""
    await establish(admin, definition())
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await admin.post(WIDGETS, held)
    await admin.post(WIDGETS, widget("free"))
    revision = (await admin.get(WIDGETS))["metadata"]["resourceVersion"]
    watch = asyncio.ensure_future(_all_events(admin, f"{WIDGETS}?watch=true&resourceVersion={revision}"))
    answer = await admin.call("DELETE", f"{CRDS}/widgets.example.com")
    assert (
        answer.code,
        answer["metadata"]["finalizers"],
        conditions(answer.body)["Terminating"],
    ) == (200, ["customresourcecleanup.apiextensions.k8s.io"], ("True", "InstanceDeletionPending"))
    refused = await admin.post(WIDGETS, widget("late"))
    assert (
        refused.code,
        refused["message"],
    ) == (405, "create not allowed while custom resource definition is terminating")
    body = {"metadata": {"finalizers": None}}
    path = f"{WIDGETS}/held"
    await _until_deleting(admin, path)
    verbs = (await admin.get("/apis/example.com/v1"))["resources"][0]["verbs"]
    assert verbs == ["delete", "deletecollection", "get", "list", "watch"]
    assert (await admin.call("PATCH", path, body, type="application/merge-patch+json")).code == 200
    seen = await asyncio.wait_for(watch, 10)
    assert {"held", "free"} == {one["object"]["metadata"]["name"] for one in seen if one["type"] == "DELETED"}
    assert (await admin.get(f"{CRDS}/widgets.example.com")).code == 404
    assert (await admin.get(WIDGETS)).code == 404
    assert "example.com" not in [one["name"] for one in (await admin.get("/apis"))["groups"]]
    again = await establish(admin, definition())
    assert ((await admin.get(WIDGETS))["items"], conditions(again)["Established"][0]) == ([], "True")


async def _all_events(client: Client, path: str) -> list[dict[str, Any]]:
    async with client.request("GET", path) as response:
        return [json.loads(line) async for line in response.content]


async def _until_deleting(client: Client, path: str) -> None:
    collection, _, name = path.rpartition("/")
    query = f"{collection}?watch=true&fieldSelector=metadata.name%3D{name}"
    async with asyncio.timeout(10), client.request("GET", query) as response:
        async for line in response.content:
            if json.loads(line)["object"]["metadata"].get("deletionTimestamp"):
                return


async def test_apply_with_list_map_keys(admin: Client) -> None:
    """Server-side apply merges list-type maps of a custom resource by their keys and tells conflicts."""
    port = {
        "type": "object",
        "required": ["port"],
        "properties": {"port": {"type": "integer"}, "name": {"type": "string"}},
    }
    ports = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port"],
        "items": port,
    }
    spec = {"type": "object", "properties": {"ports": ports}}
    await establish(
        admin, definition("Widget", version(schema={"type": "object", "properties": {"spec": spec}}))
    )

    async def apply(manager: str, *ports: dict[str, Any]) -> Any:
        body = json.dumps(widget(spec={"ports": list(ports)})).encode()
        path = f"{WIDGETS}/w?fieldManager={manager}"
        return await admin.call("PATCH", path, body, type="application/apply-patch+yaml")

    assert (await apply("one", {"port": 80, "name": "a"})).code == 201
    both = await apply("two", {"port": 81, "name": "b"})
    assert both["spec"]["ports"] == [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    conflict = await apply("two", {"port": 80, "name": "c"})
    assert (conflict.code, ".spec.ports[port=80].name" in conflict["message"]) == (409, True)
    assert (await apply("one"))["spec"]["ports"] == [{"port": 81, "name": "b"}]


async def test_rules_with_the_old_state(admin: Client) -> None:
    """CEL rules are run on writes, transition rules against what is stored."""
    rule = {"rule": "self.size >= oldSelf.size", "message": "size may only grow"}
    schema = version()["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = [rule]
    await establish(admin, definition("Widget", version(schema=schema)))
    assert (await admin.post(WIDGETS, widget(spec={"size": 5}))).code == 201
    body = {"spec": {"size": 4}}
    refused = await admin.call("PATCH", f"{WIDGETS}/w", body, type="application/merge-patch+json")
    assert (
        refused["message"]
        == 'Widget.example.com "w" is invalid: spec: Invalid value: "object": size may only grow'
    )


async def test_selectable_fields(admin: Client) -> None:
    """Lists and watches select by the fields that the definition names."""
    await establish(admin, definition("Widget", version(selectableFields=[{"jsonPath": ".spec.color"}])))
    for name, color in (("a", "red"), ("b", "blue")):
        await admin.post(WIDGETS, widget(name, spec={"color": color}))
    listed = await admin.get(f"{WIDGETS}?fieldSelector=spec.color%3Dblue")
    assert [one["metadata"]["name"] for one in listed["items"]] == ["b"]
    refused = await admin.get(f"{WIDGETS}?fieldSelector=spec.size%3D3")
    assert (refused.code, refused["message"]) == (400, "field label not supported: spec.size")
    v3 = await admin.get("/openapi/v3/apis/example.com/v1")
    v2 = await admin.get("/openapi/v2")
    schemas = (v3["components"]["schemas"], v2["definitions"])
    told = [one["com.example.v1.Widget"]["x-kubernetes-selectable-fields"] for one in schemas]
    assert told == [[{"fieldPath": "spec.color"}]] * 2


async def test_stored_definitions_are_served_from_the_start(cluster: Cluster, admin: Client) -> None:
    """A server that starts over a store with definitions serves them before anything else happens."""
    await establish(admin, definition())
    registry = Registry(
        cluster.registry.store, Catalogue([CustomResourceDefinition]), ClusterFacts(), SystemClock()
    )
    async with CustomResources(registry, SystemClock(), lambda kind: None):
        served = [(kind.kind, kind.api_version) for kind in registry.catalogue.all()]
    assert served == [("CustomResourceDefinition", "apiextensions.k8s.io/v1"), ("Widget", "example.com/v1")]
    registry.close()


async def test_warnings_of_formats_and_finalizers(admin: Client) -> None:
    """Formats that nobody checks and finalizers without a domain are stored, and warned of when new."""
    texts = {"a": {"type": "string", "format": "nope"}, "b": {"type": "integer", "format": "int32"}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": texts}}}
    made = await admin.post(CRDS, definition("Widget", version(schema=schema)))
    assert made.headers.getall("Warning") == ['299 - "unrecognized format \\"nope\\""']
    await until(admin, CRDS, "widgets.example.com", "Established")
    labels = {"metadata": {"labels": {"a": "b"}}}
    for path in (f"{CRDS}/widgets.example.com", f"{WIDGETS}/w"):
        if path.endswith("/w"):
            body = widget(metadata={"name": "w", "finalizers": ["cleanup", "example.com/cleanup"]})
            stored = await admin.post(WIDGETS, body)
            assert (stored.code, stored.headers.getall("Warning")) == (
                201,
                [
                    '299 - "metadata.finalizers: \\"cleanup\\": prefer a domain-qualified finalizer name '
                    'including a path (/) to avoid accidental conflicts with other finalizer writers"'
                ],
            )
        changed = await admin.call("PATCH", path, labels, type="application/merge-patch+json")
        assert (changed.code, "Warning" in changed.headers) == (200, False)
