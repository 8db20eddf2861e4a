"""Validation of what classes of storage hand to their drivers."""

from collections.abc import Iterable, Mapping

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import qualified_name
from minikube_py.meta.violations import invalid, required, too_long

MAX_PARAMETERS, MAX_SIZE = 512, 256 * 1024


def validate_provisioner(name: str, path: str) -> Iterable[Violation]:
    """The refusals of the name of a driver."""
    if not name:
        yield required(path)
    for reason in qualified_name(name.lower()) if name else ():
        yield invalid(path, name.lower(), reason)


def validate_parameters(parameters: Mapping[str, str], path: str) -> Iterable[Violation]:
    """The refusals of parameters: not too many, not too long."""
    if len(parameters) > MAX_PARAMETERS:
        yield too_long(path, MAX_PARAMETERS)
        return
    if "" in parameters:
        yield invalid(path, "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > MAX_SIZE:
        yield too_long(path, MAX_SIZE)
