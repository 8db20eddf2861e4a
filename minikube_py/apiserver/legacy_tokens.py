"""Tokens kept in Secrets: notes on each Secret on which day its token was last used, and since when that is
noted.

Source: "Managing Service Accounts", legacy ServiceAccount token tracking, of the Kubernetes documentation
(v1.34).
"""

import logging

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver.token_authn import LAST_USED
from minikube_py.errors import AlreadyExists, ApiError
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.secret import Secret
from minikube_py.meta.objects import Key, Obj, key_of
from minikube_py.registry.base import Context, Patch
from minikube_py.registry.resource import Registry

log = logging.getLogger(__name__)

TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
_MERGE = "application/merge-patch+json"


class LegacyTokens:
    """Labels Secrets whose token is used, once a day."""

    def __init__(self, registry: Registry, clock: Clock, tasks: Tasks) -> None:
        self._registry = registry
        self._clock = clock
        self._tasks = tasks
        self._noting: set[Key] = set()

    def used(self, secret: Obj) -> None:
        """A token was used today, as its Secret does not say yet. Never waits."""
        key = key_of(secret)
        if key not in self._noting:
            self._noting.add(key)
            self._tasks.spawn(self._note(key), f"legacy-token/{key}")

    async def _note(self, key: Key) -> None:
        body = {"metadata": {"labels": {LAST_USED: self._today()}}}
        try:
            await self._registry.patch(Secret, *key, Patch(_MERGE, body), _context())
        except ApiError as error:
            log.info("the use of the token in Secret %s was not noted: %s", key, error)
        finally:
            self._noting.discard(key)

    async def ensure_since(self) -> None:
        """Say since when uses are noted."""
        wanted = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": TRACKING, "namespace": "kube-system"},
            "data": {"since": self._today()},
        }
        try:
            await self._registry.create(ConfigMap, "kube-system", wanted, _context())
        except AlreadyExists:
            return

    def _today(self) -> str:
        return self._clock.now().strftime("%Y-%m-%d")


def _context() -> Context:
    return Context(field_manager="kube-apiserver", user_agent="kube-apiserver")
