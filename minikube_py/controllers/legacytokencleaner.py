"""Legacy ServiceAccount token cleaner: a token in a Secret that Kubernetes once made by itself, and that nobody
has used for a year, is marked as invalid, and deleted a year later.

Only Secrets that a ServiceAccount lists in `secrets` and that no pod mounts are looked at, once a day. What the
API server notes (the day of the last use, and since when it notes) is what counts.
Source: "Managing Service Accounts", legacy token cleaner, of the Kubernetes documentation (v1.34).
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.tokens import ACCOUNT_NAME, TYPE
from minikube_py.errors import Conflict, NotFound
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    dig,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    parse_time,
    uid_of,
)

TRACKING = Key("kube-system", "kube-apiserver-legacy-service-account-token-tracking")
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
UNUSED = timedelta(days=365)
DAY = 86_400.0
KEEP, MARK, DELETE = "keep", "mark", "delete"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def verdict(secret: Obj, noted_since: date, today: date) -> str:
    """What is to be done with a token: keep, mark as invalid, or delete."""
    made = parse_time(dig(secret, "metadata.creationTimestamp")).date()
    used = _day(labels_of(secret).get(LAST_USED, ""))
    if max(made, noted_since, used or made) + UNUSED > today:
        return KEEP
    invalid = _day(labels_of(secret).get(INVALID_SINCE, ""))
    if invalid is None:
        return MARK
    return DELETE if invalid + UNUSED <= today else KEEP


def mounted(pods: Iterable[Obj]) -> set[Key]:
    """The Secrets that pods mount."""
    return {
        Key(namespace_of(pod), name)
        for pod in pods
        for volume in dig(pod, "spec.volumes") or ()
        if (name := dig(volume, "secret.secretName"))
    }


class LegacyTokenCleaner(Controller):
    """Look at the legacy tokens once a day."""

    name: ClassVar[str] = "legacy-service-account-token-cleaner-controller"
    account: ClassVar[str] = "legacy-service-account-token-cleaner"

    def watches(self) -> dict[Kind, KeysOf]:
        return {ConfigMap: self._tracking_began}

    def _tracking_began(self, change: Change) -> Iterable[Key]:
        return (TRACKING,) if key_of(change.object) == TRACKING and change.type == "ADDED" else ()

    async def reconcile(self, key: Key) -> float | None:
        since = _day(dig(self.cache.get(ConfigMap, key), "data.since", ""))
        if since is None:
            return None
        today = self.clock.now().date()
        used = mounted(self.cache.list(Pod)) if since + UNUSED <= today else set()
        for secret in self._made_by_kubernetes() if since + UNUSED <= today else ():
            if key_of(secret) not in used:
                await self._act(secret, verdict(secret, since, today), today)
        return DAY

    def _made_by_kubernetes(self) -> list[Obj]:
        """The token Secrets that their ServiceAccount lists."""
        found = []
        for secret in self.cache.list(Secret):
            owner = Key(namespace_of(secret), annotations_of(secret).get(ACCOUNT_NAME, ""))
            account = self.cache.get(ServiceAccount, owner) if secret.get("type") == TYPE else None
            if any(ref.get("name") == name_of(secret) for ref in dig(account, "secrets") or ()):
                found.append(secret)
        return found

    async def _act(self, secret: Obj, verdict: str, today: date) -> None:
        held = {"uid": uid_of(secret), "resourceVersion": secret["metadata"]["resourceVersion"]}
        try:
            if verdict == MARK:
                body = {"metadata": {**held, "labels": {INVALID_SINCE: today.isoformat()}}}
                await self.client.patch(Secret, key_of(secret), body)
            elif verdict == DELETE:
                await self.client.delete(Secret, key_of(secret), {"preconditions": held})
        except (NotFound, Conflict):  # it went, or was used just now
            return
