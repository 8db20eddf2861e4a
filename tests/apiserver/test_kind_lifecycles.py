"""Every kind that is served lives through all its verbs, by the public Python client's dynamic client.

These are the operations that Kubernetes' conformance tests exercise for each kind: create, get, list (of all
namespaces too), watch, all forms of patch, update, status, delete, and the deletion of a selection.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from api_cluster import Cluster
from kind_bodies import LABELS, Obj, body_of
from kubernetes import client, config, dynamic

from minikube_py import collect
from minikube_py.meta.kind import ALL_VERBS, Kind

KINDS = collect.values("minikube_py.kinds", Kind)
GROUPS = sorted({kind.group for kind in KINDS})
SELECTOR = "app=life"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON, APPLY = "application/json-patch+json", "application/apply-patch+yaml"
HELD = (
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "VolumeAttributesClass",
    "CustomResourceDefinition",
)
"""Kinds whose deletion a controller ends, of which none runs here."""


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group or "core")
async def test_lifecycles(cluster: Cluster, group: str) -> None:
    """The objects of every kind of the group can be made, read, changed in every way, watched and deleted."""
    path = cluster.kubeconfig("python-admin", "system:masters")

    def happen() -> dict[str, str]:
        with config.new_client_from_config(str(path)) as python:
            served = dynamic.DynamicClient(python)
            stories = ((kind, faults(served, kind)) for kind in KINDS if kind.group == group)
            return {kind.kind: fault for kind, fault in stories if fault}

    assert await asyncio.to_thread(happen) == {}


def faults(served: dynamic.DynamicClient, kind: Kind) -> str:
    """What went wrong in a kind's life; empty where nothing did."""
    try:
        Life(served, kind).live()
    except (AssertionError, pytest.fail.Exception, dynamic.exceptions.DynamicApiError) as error:
        return f"{type(error).__name__}: {error}"[:600]
    return ""


class Life:
    """The life of one object of a kind."""

    def __init__(self, served: dynamic.DynamicClient, kind: Kind) -> None:
        self.kind = kind
        self.api = served.resources.get(api_version=kind.api_version, kind=kind.kind)
        self.where: Obj = {"namespace": "default"} if kind.namespaced else {}
        self.body = body_of(kind)
        self.name = self.body["metadata"]["name"]

    def live(self) -> None:
        made = self.api.create(body=self.body, **self.where)
        assert made.metadata.uid, "an object has a uid"
        assert made.metadata.managedFields, "an object has owners of its fields"
        self.read()
        self.change()
        self.part("status")
        self.scale()
        self.leave(made.metadata.resourceVersion)

    def read(self) -> None:
        got = self.api.get(name=self.name, **self.where)
        assert got.metadata.labels.to_dict().items() >= LABELS.items(), "the object that was made is read"
        listed = [
            self.api.get(label_selector=SELECTOR, **self.where),
            self.api.get(label_selector=SELECTOR),
            self.api.get(field_selector=f"metadata.name={self.name}", limit=1),
        ]
        for found in listed:
            assert [one.metadata.name for one in found.items] == [self.name], "lists have it"
        assert found.kind == self.kind.list_kind, "a list has its kind"

    def change(self) -> None:
        """Label the object in every form of write."""
        for type, patch in (
            (MERGE, {"metadata": {"labels": {"merge": "1"}}}),
            (STRATEGIC, {"metadata": {"labels": {"strategic": "1"}}}),
            (JSON, [{"op": "add", "path": "/metadata/labels/json", "value": "1"}]),
        ):
            self.api.patch(body=patch, name=self.name, content_type=type, **self.where)
        stub = {"apiVersion": self.kind.api_version, "kind": self.kind.kind}
        applied = {**stub, "metadata": {"name": self.name, "labels": {"apply": "1"}}}
        self.api.server_side_apply(body=applied, name=self.name, field_manager="life", **self.where)
        dry = {"metadata": {"labels": {"dry": "1"}}}
        self.api.patch(body=dry, name=self.name, content_type=MERGE, dry_run="All", **self.where)
        current = self.api.get(name=self.name, **self.where).to_dict()
        current["metadata"]["labels"]["update"] = "1"
        replaced = self.api.replace(body=current, name=self.name, **self.where)
        wanted = {"merge", "strategic", "json", "apply", "update", *LABELS}
        labels = set(replaced.metadata.labels.to_dict()) - {"kubernetes.io/metadata.name"}
        assert labels == wanted, "every form of write is kept, no dry run is"
        with pytest.raises(dynamic.exceptions.ConflictError):
            self.api.replace(body=current, name=self.name, **self.where)

    def part(self, name: str) -> None:
        """Read, patch and replace the status, which takes annotations too, but of kinds that keep their own."""
        if name not in self.kind.subresources:
            return
        api = self.api.status
        note = {"metadata": {"annotations": {"patched": name}}}
        api.patch(body=note, name=self.name, content_type=MERGE, **self.where)
        current = api.get(name=self.name, **self.where).to_dict()
        noted = "patched" in (current["metadata"].get("annotations") or {})
        assert noted == ("annotations" not in self.kind.status_keeps), "a status is written with annotations"
        current.setdefault("status", {})
        assert api.replace(body=current, name=self.name, **self.where).metadata.name == self.name

    def scale(self) -> None:
        if "scale" not in self.kind.subresources:
            return
        api = self.api.subresources["scale"]
        api.patch(body={"spec": {"replicas": 2}}, name=self.name, content_type=MERGE, **self.where)
        current = api.get(name=self.name, **self.where).to_dict()
        current["spec"]["replicas"] = 3
        changed = api.replace(body=current, name=self.name, **self.where)
        assert (changed.kind, current["spec"]["replicas"], changed.spec.replicas) == ("Scale", 3, 3)

    def leave(self, revision: str) -> None:
        """Delete the object, see all of it in a watch, and delete another one by its label."""
        self.api.delete(name=self.name, **self.where)
        if self.kind.kind in HELD or self.kind.orphans:
            with contextlib.suppress(dynamic.exceptions.NotFoundError):
                assert self.api.get(name=self.name, **self.where).metadata.deletionTimestamp
            return
        with pytest.raises(dynamic.exceptions.NotFoundError):
            self.api.get(name=self.name, **self.where)
        types = [event["type"] for event in self.watched(revision)]
        assert (set(types[:-1]), types[-1]) == ({"MODIFIED"}, "DELETED"), "a watch tells all"
        if self.kind.verbs == ALL_VERBS:
            self.api.create(body=self.body, **self.where)
            self.api.delete(label_selector=SELECTOR, **self.where)
            assert list(self.api.get(label_selector=SELECTOR, **self.where).items) == []

    def watched(self, revision: str) -> Iterator[Any]:
        """The events from `revision` to the deletion."""
        for event in self.api.watch(
            resource_version=revision, field_selector=f"metadata.name={self.name}", timeout=5, **self.where
        ):
            yield event
            if event["type"] == "DELETED":
                return


def test_no_kind_is_forgotten() -> None:
    """The client library is the one that the tests are about, and every kind has a body."""
    assert client.__name__ == "kubernetes.client"
    assert [kind.kind for kind in KINDS if not body_of(kind)["metadata"]["name"]] == []
