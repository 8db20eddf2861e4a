"""Amounts: quantities by resource name (`{"cpu": "500m", "pods": "2"}`), the API's ResourceList, and sums.

Nothing is changed in place. Quantities are canonical text in results, whatever they were before.
"""

from collections.abc import Collection, Iterable, Mapping

from minikube_py.meta.quantity import Quantity, add, canonical, parse_quantity, sub

Amounts = dict[str, str]
Given = Mapping[str, Quantity]


def plus(left: Given, right: Given) -> Amounts:
    """left + right; a resource that one of them lacks is zero there."""
    result = {name: canonical(amount) for name, amount in left.items()}
    for name, amount in right.items():
        result[name] = add(result[name], amount) if name in result else canonical(amount)
    return result


def minus(left: Given, right: Given) -> Amounts:
    """left - right for the resources of `left`, never below zero."""
    result = {}
    for name, amount in left.items():
        less = right.get(name, "0")
        result[name] = sub(amount, less) if parse_quantity(amount) > parse_quantity(less) else "0"
    return result


def largest(left: Given, right: Given) -> Amounts:
    """The larger amount of each resource of either."""
    result = {name: canonical(amount) for name, amount in left.items()}
    for name, amount in right.items():
        if name not in result or parse_quantity(amount) > parse_quantity(result[name]):
            result[name] = canonical(amount)
    return result


def only(amounts: Given, names: Collection[str]) -> Amounts:
    """The amounts of those resources alone."""
    return {name: canonical(amount) for name, amount in amounts.items() if name in names}


def positive(amounts: Given) -> Amounts:
    """The amounts above zero."""
    return {name: canonical(amount) for name, amount in amounts.items() if parse_quantity(amount) > 0}


def above(amounts: Given, limits: Given) -> list[str]:
    """The resources, sorted, of which there is more than the limit; without a limit there is never too much."""
    return sorted(
        name
        for name, amount in amounts.items()
        if name in limits and parse_quantity(amount) > parse_quantity(limits[name])
    )


def same(left: Given, right: Given) -> bool:
    """Whether both are the same amounts, however they are written."""
    return left.keys() == right.keys() and all(
        parse_quantity(amount) == parse_quantity(right[name]) for name, amount in left.items()
    )


def shown(amounts: Given) -> str:
    """`cpu=1,pods=2`, sorted by name."""
    return ",".join(f"{name}={canonical(amounts[name])}" for name in sorted(amounts))


def total(all_amounts: Iterable[Given]) -> Amounts:
    """The sum of many."""
    result: Amounts = {}
    for amounts in all_amounts:
        result = plus(result, amounts)
    return result
