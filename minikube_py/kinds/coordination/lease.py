"""Lease: who holds a lock, or that a node is alive, until when."""

from collections.abc import Iterable

from minikube_py.kinds.columns import AGE, NAME, text
from minikube_py.meta.kind import Column, Kind, Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, invalid, non_negative, required


def validate(lease: Obj, old: Obj | None) -> Iterable[Violation]:
    seconds = dig(lease, "spec.leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    yield from non_negative(lease, "spec.leaseTransitions")
    strategy, holder = dig(lease, "spec.strategy"), dig(lease, "spec.holderIdentity")
    if strategy is not None:
        for reason in qualified_name(strategy):
            yield invalid("spec.strategy", strategy, reason)
    if dig(lease, "spec.preferredHolder") and not strategy:
        told = "may only be specified if `strategy` is defined"
        yield forbidden("spec.preferredHolder", told)
    if holder == "" and old is None:
        yield required("spec.holderIdentity", "must not be empty")


Lease = Kind(
    "Lease",
    "coordination.k8s.io/v1",
    "leases",
    create_on_update=True,
    validate=validate,
    columns=(
        NAME,
        Column("Holder", text("spec.holderIdentity"), description="Who holds the lease"),
        AGE,
    ),
    unconditional_update=False,
)
