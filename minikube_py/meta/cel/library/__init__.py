"""The functions of CEL as Kubernetes has them, a file for each library; `FUNCTIONS` has them all by name."""

from typing import Final

from minikube_py.meta.cel.functions import by_name
from minikube_py.meta.cel.library import (
    access,
    addresses,
    authorization,
    conversions,
    formats,
    lists,
    math,
    operators,
    optionals,
    quantities,
    semver,
    sets,
    strings,
    times,
    urls,
)

FUNCTIONS: Final = by_name(
    (
        *operators.OVERLOADS,
        *conversions.OVERLOADS,
        *times.OVERLOADS,
        *strings.OVERLOADS,
        *lists.OVERLOADS,
        *sets.OVERLOADS,
        *math.OVERLOADS,
        *optionals.OVERLOADS,
        *access.OVERLOADS,
        *addresses.OVERLOADS,
        *urls.OVERLOADS,
        *quantities.OVERLOADS,
        *semver.OVERLOADS,
        *formats.OVERLOADS,
        *authorization.OVERLOADS,
    )
)
