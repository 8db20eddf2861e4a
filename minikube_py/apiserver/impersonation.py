"""Impersonation: acting as another user by the Impersonate-* headers, where the real one may."""

from urllib.parse import unquote

from multidict import CIMultiDictProxy

from minikube_py.apiserver.authn import ANONYMOUS, AUTHENTICATED
from minikube_py.apiserver.authz import Authorizer, forbidden, quoted
from minikube_py.apiserver.rbac import Attributes
from minikube_py.errors import BadRequest
from minikube_py.registry.base import User

_USER, _GROUP, _UID, _EXTRA = (
    "Impersonate-User",
    "Impersonate-Group",
    "Impersonate-Uid",
    "Impersonate-Extra-",
)
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def impersonated(user: User, headers: CIMultiDictProxy[str], authorizer: Authorizer) -> User:
    """The user to act as: `user` itself where no header asks otherwise. Errors: BadRequest, Forbidden."""
    if _USER not in headers:
        if any(name.lower().startswith("impersonate-") for name in headers):
            raise BadRequest("requested impersonation without impersonating a user")
        return user
    name, uid = headers[_USER], headers.get(_UID, "")
    groups = tuple(headers.getall(_GROUP, ()))
    extra = _extra(headers)
    for asked in _needed(name, uid, groups, extra):
        if not authorizer.allows(user, asked):
            raise forbidden(asked.group, asked.resource, asked.name, _cannot(user, asked))
    return User(name, uid, _with_own_groups(name, groups), extra)


def _needed(
    name: str, uid: str, groups: tuple[str, ...], extra: dict[str, tuple[str, ...]]
) -> list[Attributes]:
    if account := _account(name):
        asked = [Attributes("impersonate", "", "serviceaccounts", "", account[0], account[1])]
    else:
        asked = [Attributes("impersonate", "", "users", name=name)]
    if uid:
        asked.append(Attributes("impersonate", _AUTHENTICATION, "uids", name=uid))
    asked += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    for key, values in extra.items():
        asked += [Attributes("impersonate", _AUTHENTICATION, "userextras", key, name=v) for v in values]
    return asked


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the ServiceAccount that a user name stands for, or None."""
    if not name.startswith(_ACCOUNT):
        return None
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if namespace and account else None


def _with_own_groups(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    if not groups and (account := _account(name)):
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if name == ANONYMOUS.name:
        return tuple(dict.fromkeys((*groups, *ANONYMOUS.groups)))
    return tuple(dict.fromkeys((*groups, AUTHENTICATED)))


def _extra(headers: CIMultiDictProxy[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.lower().startswith(_EXTRA.lower()):
            key = unquote(name[len(_EXTRA) :]).lower()
            found[key] = (*found.get(key, ()), value)
    return found


def _cannot(user: User, asked: Attributes) -> str:
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    scope = f"in the namespace {quoted(asked.namespace)}" if asked.namespace else "at the cluster scope"
    return (
        f"User {quoted(user.name)} cannot impersonate resource {quoted(resource)} "
        f"in API group {quoted(asked.group)} {scope}"
    )
