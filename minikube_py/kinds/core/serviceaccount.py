"""ServiceAccount: the identity of processes in pods."""

from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.meta.kind import Column, Kind
from minikube_py.meta.objects import Obj


def _secrets(account: Obj, now: datetime) -> int:
    return len(account.get("secrets") or ())


ServiceAccount = Kind(
    "ServiceAccount",
    "v1",
    "serviceaccounts",
    short_names=("sa",),
    subresources=("token",),
    returns_deleted=True,
    columns=(NAME, Column("Secrets", _secrets, description="Number of secrets it names"), AGE),
)
