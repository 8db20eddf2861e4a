"""Impersonation: acting as another user by the Impersonate-* headers, where the real one may."""

from urllib.parse import unquote

from multidict import CIMultiDictProxy

from minikube_py.apiserver.authn import ANONYMOUS
from minikube_py.apiserver.authz import Authorizer
from minikube_py.apiserver.rbac import Attributes
from minikube_py.apiserver.token_authn import AUTHENTICATED
from minikube_py.errors import Cause, InternalError
from minikube_py.registry.base import User

_USER, _GROUP, _UID, _EXTRA = (
    "Impersonate-User",
    "Impersonate-Group",
    "Impersonate-Uid",
    "impersonate-extra-",
)
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def impersonated(user: User, headers: CIMultiDictProxy[str], authorizer: Authorizer) -> User:
    """The user to act as: `user` itself where no header asks otherwise. Errors: InternalError for a group, uid
    or extra without a user, Forbidden."""
    groups, extra = tuple(headers.getall(_GROUP, ())), _extra(headers)
    uid = headers.get(_UID, "")
    if not headers.get(_USER):
        asked = _requests(groups, extra, uid)
        if asked:
            listed = " ".join(asked)
            raise InternalError(
                f"Internal error occurred: requested [{listed}] without impersonating a user",
                causes=(Cause("", f"requested [{listed}] without impersonating a user"),),
            )
        return user
    name = headers[_USER]
    for needed in _needed(name, uid, groups, extra):
        if not authorizer.allows(user, needed):
            raise authorizer.refused(user, needed, authorizer.reason(user, needed))
    return User(name, uid, _with_own_groups(name, groups), extra)


def _requests(groups: tuple[str, ...], extra: dict[str, tuple[str, ...]], uid: str) -> list[str]:
    """What is asked besides a user, as the refusal shows it."""
    shown = [f"{{Group  {group}    }}" for group in groups]
    shown += [f"{{UserExtra  {value}    {key}}}" for key, values in extra.items() for value in values]
    return [*shown, *([f"{{UID  {uid}    }}"] if uid else [])]


def _needed(
    name: str, uid: str, groups: tuple[str, ...], extra: dict[str, tuple[str, ...]]
) -> list[Attributes]:
    if account := _account(name):
        asked = [Attributes("impersonate", "", "serviceaccounts", "", account[0], account[1])]
    else:
        asked = [Attributes("impersonate", "", "users", name=name)]
    asked += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    for key, values in extra.items():
        asked += [Attributes("impersonate", _AUTHENTICATION, "userextras", key, name=v) for v in values]
    if uid:
        asked.append(Attributes("impersonate", _AUTHENTICATION, "uids", name=uid))
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
    if AUTHENTICATED in groups or ANONYMOUS.groups[0] in groups:
        return groups
    return (*groups, *(ANONYMOUS.groups if name == ANONYMOUS.name else (AUTHENTICATED,)))


def _extra(headers: CIMultiDictProxy[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.lower().startswith(_EXTRA):
            key = unquote(name[len(_EXTRA) :].lower())
            found[key] = (*found.get(key, ()), value)
    return found
