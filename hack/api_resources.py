"""Write docs/api-resources.md: every group, version, kind, verb and subresource that the API server serves.

    python hack/api_resources.py

The table is what discovery tells clients, so it is what `kubectl api-resources -o wide` shows, and the
subresources. A test fails where the file is not what this makes.
"""

from pathlib import Path

import orjson

from minikube_py import collect
from minikube_py.apiserver.discovery import Discovery
from minikube_py.apiserver.server import VIRTUAL
from minikube_py.meta.kind import ALL_VERBS, Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.catalogue import Catalogue

PATH = Path(__file__).parents[1] / "docs" / "api-resources.md"
_HEAD = """# API resources

What the API server serves, as Kubernetes v1.34 does: the table is made from the catalogue of kinds by
`python hack/api_resources.py`. Custom resources come to it as soon as they are defined.

`all` stands for the verbs {verbs}.

| Group and version | Kind | Resource | Short names | Categories | In a namespace | Verbs | Subresources |
|---|---|---|---|---|---|---|---|
"""


def _read(discovery: Discovery, path: str) -> Obj:
    document = discovery.get(path)
    if document is None:
        raise ValueError(f"nothing is served at {path}")
    found: Obj = orjson.loads(document.body)
    return found


def _group_versions(discovery: Discovery) -> list[str]:
    groups = _read(discovery, "/apis")["groups"]
    core = [f"/api/{version}" for version in _read(discovery, "/api")["versions"]]
    return core + [f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"]]


def _verbs(resource: Obj) -> str:
    verbs = sorted(resource["verbs"])
    return "all" if verbs == sorted(ALL_VERBS) else ", ".join(verbs)


def _row(group_version: str, resource: Obj, subresources: list[Obj]) -> str:
    parts = [f"{one['name'].partition('/')[2]} ({_verbs(one)})" for one in subresources]
    cells = (
        group_version,
        resource["kind"],
        resource["name"],
        ", ".join(resource.get("shortNames") or ()),
        ", ".join(resource.get("categories") or ()),
        "yes" if resource["namespaced"] else "no",
        _verbs(resource),
        ", ".join(parts),
    )
    return "| " + " | ".join(cell or "-" for cell in cells) + " |\n"


def render(kinds: tuple[Kind, ...]) -> str:
    """The document about `kinds` and what is served and stored nowhere."""
    discovery = Discovery(Catalogue(kinds), VIRTUAL)
    rows = []
    for path in _group_versions(discovery):
        found = _read(discovery, path)
        for resource in found["resources"]:
            if "/" not in resource["name"]:
                below = [one for one in found["resources"] if one["name"].startswith(f"{resource['name']}/")]
                rows.append(_row(found["groupVersion"], resource, below))
    return _HEAD.format(verbs=", ".join(ALL_VERBS)) + "".join(rows)


def built_in() -> tuple[Kind, ...]:
    """Every built-in kind."""
    return tuple(collect.values("minikube_py.kinds", Kind))


if __name__ == "__main__":
    PATH.write_text(render(built_in()))
    print(f"wrote {PATH}")
