"""Rights for the users of tests: a role of given rules, bound to one user."""

from typing import Any

from api_cluster import Client

RBAC = "rbac.authorization.k8s.io"
RBAC_PATH = f"/apis/{RBAC}/v1"


def rule(verbs: str, resources: str, groups: str = "", **more: Any) -> dict[str, Any]:
    """A PolicyRule of words that are parted by blanks; `groups` with the core group as `core`."""
    named = ["" if group == "core" else group for group in (groups or "core").split()]
    return {"verbs": verbs.split(), "apiGroups": named, "resources": resources.split(), **more}


async def grant(admin: Client, user: str, *rules: dict[str, Any], namespace: str = "") -> None:
    """Bind a new role of `rules` to `user`, in one namespace or in the whole cluster."""
    base = f"{RBAC_PATH}/namespaces/{namespace}" if namespace else RBAC_PATH
    prefix, kind = ("", "Role") if namespace else ("cluster", "ClusterRole")
    name = f"of-{user.replace(':', '-')}"
    made = await admin.post(f"{base}/{prefix}roles", {"metadata": {"name": name}, "rules": list(rules)})
    assert made.code == 201, made.body
    subject = {"kind": "User", "apiGroup": RBAC, "name": user}
    reference = {"apiGroup": RBAC, "kind": kind, "name": name}
    body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    made = await admin.post(f"{base}/{prefix}rolebindings", body)
    assert made.code == 201, made.body
