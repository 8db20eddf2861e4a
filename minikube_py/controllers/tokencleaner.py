"""Token cleaner: deletes the Secrets of bootstrap tokens once they have expired."""

from collections.abc import Mapping
from typing import ClassVar

from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.controllers.bootstrap.tokens import is_token, seconds_left
from minikube_py.errors import NotFound
from minikube_py.kinds.core.secret import Secret
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, is_deleting, key_of, uid_of


class TokenCleaner(Controller):
    """Delete each expired bootstrap token."""

    name: ClassVar[str] = "token-cleaner-controller"
    account: ClassVar[str] = "token-cleaner"

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Secret: lambda change: (key_of(change.object),) if is_token(change.object) else ()}

    async def reconcile(self, key: Key) -> float | None:
        secret = self.cache.get(Secret, key)
        if secret is None or is_deleting(secret) or not is_token(secret):
            return None
        left = seconds_left(secret, self.clock.now())
        if left is None or left > 0:
            return left
        try:
            await self.client.delete(Secret, key, {"preconditions": {"uid": uid_of(secret)}})
        except NotFound:
            return None
        return None
