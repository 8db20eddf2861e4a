"""Tokens controller: fills Secrets of type kubernetes.io/service-account-token, and removes them with their
ServiceAccount. Without a signer it only removes."""

import base64
from collections.abc import Iterable, Mapping
from typing import ClassVar

from minikube_py.client.base import Change, Index
from minikube_py.controllers.base import Controller, KeysOf
from minikube_py.errors import NotFound
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
BY_ACCOUNT = "controllers/token-account"


def _account_index(secret: Obj) -> Iterable[str]:
    account = annotations_of(secret).get(ACCOUNT_NAME)
    return (f"{namespace_of(secret)}/{account}",) if account and secret.get("type") == TYPE else ()


def claims(secret: Obj, account: Obj) -> dict[str, str]:
    """The claims of a legacy token, which does not expire and is valid as long as its Secret exists."""
    prefix, namespace, name = "kubernetes.io/serviceaccount", namespace_of(account), name_of(account)
    return {
        "iss": "kubernetes/serviceaccount",
        f"{prefix}/namespace": namespace,
        f"{prefix}/secret.name": name_of(secret),
        f"{prefix}/service-account.name": name,
        f"{prefix}/service-account.uid": uid_of(account),
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def missing_data(secret: Obj, root_ca: str) -> dict[str, str]:
    """The entries (base64) that the Secret lacks or has wrong, the token apart."""
    wanted = {"namespace": namespace_of(secret)} | ({"ca.crt": root_ca} if root_ca else {})
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in wanted.items()}
    data = secret.get("data") or {}
    return {name: text for name, text in encoded.items() if data.get(name) != text}


class TokensController(Controller):
    """Drive each ServiceAccount token Secret."""

    name: ClassVar[str] = "serviceaccount-token-controller"
    account: ClassVar[str] = "tokens-controller"

    def indexes(self) -> Iterable[tuple[Kind, str, Index]]:
        return ((Secret, BY_ACCOUNT, _account_index),)

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Secret: self._secret_changed, ServiceAccount: self._account_changed}

    def _secret_changed(self, change: Change) -> Iterable[Key]:
        return (key_of(change.object),) if change.object.get("type") == TYPE else ()

    def _account_changed(self, change: Change) -> Iterable[Key]:
        if change.type == "MODIFIED":
            return ()
        return [key_of(s) for s in self.cache.indexed(Secret, BY_ACCOUNT, str(key_of(change.object)))]

    async def reconcile(self, key: Key) -> float | None:
        secret = self.cache.get(Secret, key)
        if secret is None or is_deleting(secret) or secret.get("type") != TYPE:
            return None
        annotations = annotations_of(secret)
        account_key = Key(key.namespace, annotations.get(ACCOUNT_NAME, ""))
        account = self.cache.get(ServiceAccount, account_key)
        if account is None:
            account = await self._live_account(account_key)
        uid = annotations.get(ACCOUNT_UID)
        if account is None or (uid and uid != uid_of(account)):
            await self._delete(secret)
            return None
        data = missing_data(secret, self.config.root_ca)
        if self.config.signer is not None and not (secret.get("data") or {}).get("token"):
            token = self.config.signer.sign(claims(secret, account))
            data["token"] = base64.b64encode(token.encode()).decode()
        if data or not uid:
            meta = {
                "resourceVersion": secret["metadata"]["resourceVersion"],
                "annotations": {ACCOUNT_UID: uid_of(account)},
            }
            await self.client.patch(Secret, key, {"metadata": meta, "data": data})
        return None

    async def _live_account(self, key: Key) -> Obj | None:
        try:
            return await self.client.get(ServiceAccount, key.name, key.namespace) if key.name else None
        except NotFound:
            return None

    async def _delete(self, secret: Obj) -> None:
        try:
            await self.client.delete(Secret, key_of(secret), {"preconditions": {"uid": uid_of(secret)}})
        except NotFound:
            return
