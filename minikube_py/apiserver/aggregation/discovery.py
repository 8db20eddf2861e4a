"""Merged discovery: what this server serves, and what the servers behind it do, in the order of priorities.

Documents are made anew when a kind or an APIService changes. A group version that is not available is listed
still; in the aggregated form it is marked as stale, with the resources that it last had.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from minikube_py.apiserver.aggregation.services import APIServices, Remote
from minikube_py.apiserver.discovery import Discovery, document, version_order
from minikube_py.apiserver.document import Document, Kinds
from minikube_py.meta.objects import Obj

Resources = Mapping[str, tuple[Obj, ...]]
"""What backends serve: the entries of their APIResourceLists, by the name of the APIService."""


class MergedDiscovery:
    """Discovery over `local` and the remote group versions. `learned` is told of every change of resources."""

    def __init__(self, local: Discovery, catalogue: Kinds, services: APIServices) -> None:
        self._local = local
        self._catalogue = catalogue
        self._services = services
        self._resources: dict[str, tuple[Obj, ...]] = {}
        self._made: dict[tuple[str, str], Document | None] = {}
        self._made_of: tuple[int, int, int] | None = None
        self._learned = 0

    def learned(self, name: str, resources: tuple[Obj, ...]) -> None:
        """A backend serves these resources."""
        if self._resources.get(name) != resources:
            self._resources[name] = resources
            self._learned += 1

    def forget(self, name: str) -> None:
        """An APIService is gone."""
        if self._resources.pop(name, None) is not None:
            self._learned += 1

    def get(self, path: str, accept: str = "") -> Document | None:
        """The document at `path`, or None where nothing is served there."""
        local = self._local.get(path, accept)
        if not self._services.remotes:
            return local
        path = path.rstrip("/")
        is_group = path.startswith("/apis/") and path.count("/") == 2
        if path != "/apis" and not is_group:
            return local
        state = (self._catalogue.generation, self._services.generation, self._learned)
        if self._made_of != state:
            self._made, self._made_of = {}, state
        key = (path, local.content_type if local is not None else "")
        if key not in self._made:
            self._made[key] = self._group(path, local) if is_group else self._all(local)
        return self._made[key]

    def _group(self, path: str, local: Document | None) -> Document | None:
        group = path.removeprefix("/apis/")
        body: Obj = orjson.loads(local.body) if local is not None else _empty_group(group)
        versions = self._with_remotes(group, body["versions"], _plain_version)
        if not versions:
            return None
        head = {"kind": "APIGroup", "apiVersion": "v1", "name": group}
        return document({**head, "versions": versions, "preferredVersion": versions[0]})

    def _all(self, local: Document | None) -> Document | None:
        if local is None:
            return None
        body: Obj = orjson.loads(local.body)
        if "groups" in body:
            found = {group["name"]: group for group in body["groups"]}
            for name in self._names(found):
                versions = self._with_remotes(
                    name, (found.get(name) or {}).get("versions") or [], _plain_version
                )
                found[name] = {"name": name, "versions": versions, "preferredVersion": versions[0]}
            return document({**body, "groups": self._ordered(found)})
        found = {item["metadata"]["name"]: item for item in body["items"]}
        for name in self._names(found):
            versions = (found.get(name) or {}).get("versions") or []
            found[name] = {
                "metadata": {"name": name},
                "versions": self._with_remotes(name, versions, self._full_version),
            }
        form = local.content_type.removeprefix("application/json")
        return document({**body, "items": self._ordered(found)}, form)

    def _names(self, found: Mapping[str, Obj]) -> list[str]:
        """The groups that remote group versions are in."""
        return list(dict.fromkeys(group for group, _ in self._services.remotes))

    def _with_remotes(self, group: str, versions: list[Obj], entry: Any) -> list[Obj]:
        by_version = {version["version"]: version for version in versions}
        for (of, version), remote in self._services.remotes.items():
            if of == group:
                by_version[version] = entry(remote)
        priority = self._services.priority
        order = sorted(by_version, key=lambda v: (-priority(group, v).version, version_order(v)))
        return [by_version[version] for version in order]

    def _ordered(self, found: Mapping[str, Obj]) -> list[Obj]:
        def order(name: str) -> tuple[int, str]:
            versions = [version["version"] for version in found[name]["versions"]]
            return -max(self._services.priority(name, version).group for version in versions), name

        return [found[name] for name in sorted(found, key=order)]

    def _full_version(self, remote: Remote) -> Obj:
        known = self._resources.get(remote.name)
        current = remote.available and known is not None
        return {
            "version": remote.version,
            "resources": aggregated(remote, known or ()),
            "freshness": "Current" if current else "Stale",
        }


def _empty_group(group: str) -> Obj:
    return {"name": group, "versions": []}


def _plain_version(remote: Remote) -> Obj:
    return {"groupVersion": f"{remote.group}/{remote.version}", "version": remote.version}


def aggregated(remote: Remote, resources: tuple[Obj, ...]) -> list[Obj]:
    """The entries of an APIResourceList in the aggregated form: subresources within their resources."""
    by_name: dict[str, Obj] = {}
    for resource in resources:
        name, _, sub = resource["name"].partition("/")
        if not sub:
            by_name[name] = {**by_name.get(name, {}), **_resource(remote, resource)}
            continue
        parent = by_name.setdefault(name, {"resource": name})
        entry = {
            "subresource": sub,
            "responseKind": _kind(remote, resource),
            "verbs": resource.get("verbs") or [],
        }
        parent.setdefault("subresources", []).append(entry)
    return list(by_name.values())


def _resource(remote: Remote, resource: Obj) -> Obj:
    entry: Obj = {
        "resource": resource["name"],
        "responseKind": _kind(remote, resource),
        "scope": "Namespaced" if resource.get("namespaced") else "Cluster",
        "singularResource": resource.get("singularName") or "",
        "verbs": resource.get("verbs") or [],
    }
    return entry | {key: resource[key] for key in ("shortNames", "categories") if resource.get(key)}


def _kind(remote: Remote, resource: Obj) -> Obj:
    return {
        "group": resource.get("group") or remote.group,
        "version": resource.get("version") or remote.version,
        "kind": resource["kind"],
    }
