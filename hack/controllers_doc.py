"""Write docs/controllers.md: what each controller reconciles, owns and watches, and what its account may write.

    python hack/controllers_doc.py

The table is made from the classes and from the roles that they act by. A test fails where the file is not what
this makes.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from minikube_py.aio.clock import SystemClock
from minikube_py.apiserver.bootstrap.component_roles import component_namespace_roles
from minikube_py.apiserver.bootstrap.controller_roles import controller_roles
from minikube_py.client.local import LocalClients
from minikube_py.controllers.base import Controller, ControllerContext
from minikube_py.controllers.manager import controllers
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, name_of
from minikube_py.testing.inprocess import local_cluster

PATH = Path(__file__).parents[1] / "docs" / "controllers.md"
EVERY = 30
"""A controller that follows more kinds than this follows every kind served."""
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_HEAD = """# Controllers

What the controller manager runs, made from the classes by `python hack/controllers_doc.py`. A change of what a
controller reconciles, of what it owns and of what it watches wakes it; nothing is scanned. It acts as the
ServiceAccount `kube-system/<account>`, whose ClusterRole or Role `system:controller:<account>` allows the
writes named here (C create, U update, P patch, D delete; events are left out).

| Controller | What it does | Reconciles | Owns | Watches too | Account | May write |
|---|---|---|---|---|---|---|
"""
_LETTERS = {"create": "C", "update": "U", "patch": "P", "delete": "D", "deletecollection": "D"}


def _kinds(found: Iterable[Kind]) -> str:
    names = sorted({kind.kind for kind in found})
    return "every kind" if len(names) > EVERY else ", ".join(names) or "-"


def _resources(rule: Obj) -> list[str]:
    """The resources of a rule as `plural.group`; of some objects only, with their names."""
    names = f" ({', '.join(rule['resourceNames'])})" if rule.get("resourceNames") else ""
    groups = [f".{group}" if group else "" for group in rule.get("apiGroups") or ()]
    found = [f"{resource}{group}{names}" for resource in rule.get("resources") or () for group in groups]
    return ["everything"] if "*.*" in found else found


def writes(rules: Iterable[Obj]) -> str:
    """What `rules` allow to write: resources and the letters of the verbs."""
    found: dict[str, set[str]] = {}
    for rule in rules:
        verbs = rule["verbs"] if "*" not in rule["verbs"] else list(_WRITES)
        letters = {_LETTERS[verb] for verb in verbs if verb in _LETTERS}
        for resource in _resources(rule) if letters else ():
            if not resource.startswith("events"):
                found.setdefault(resource, set()).update(letters)
    texts = [f"{name} {''.join(x for x in 'CUPD' if x in letters)}" for name, letters in sorted(found.items())]
    return ", ".join(texts) or "-"


def rules_by_account(roles: Iterable[Obj]) -> dict[str, list[Obj]]:
    """The rules of each controller's account."""
    found: dict[str, list[Obj]] = {}
    for role in roles:
        prefix, _, account = name_of(role).rpartition(":")
        if prefix == "system:controller":
            found.setdefault(account, []).extend(role.get("rules") or ())
    return found


def _row(controller: Controller, rules: dict[str, list[Obj]]) -> str:
    reconciled = () if controller.reconciles is None else (controller.reconciles,)
    own = {*reconciled, *controller.owns}
    watched = [kind for kind in (*controller.watches(), *controller._followed.values()) if kind not in own]
    account = controller.account or controller.name
    cells = (
        f"`{controller.name}`",
        (type(controller).__doc__ or "").split("\n\n")[0].replace("\n    ", " "),
        _kinds(reconciled),
        _kinds(controller.owns),
        _kinds(watched),
        account,
        writes(rules.get(account, ())),
    )
    return "| " + " | ".join(cells) + " |\n"


def render() -> str:
    """The document about all controllers."""
    clients: LocalClients = asyncio.run(local_cluster(clock=SystemClock()))
    context = ControllerContext(clients, SystemClock())
    rules = rules_by_account([*controller_roles(), *component_namespace_roles()])
    found = sorted((cls(context) for cls in controllers()), key=lambda controller: controller.name)
    return _HEAD + "".join(_row(controller, rules) for controller in found)


if __name__ == "__main__":
    PATH.write_text(render())
    print(f"wrote {PATH}")
