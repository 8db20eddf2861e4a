"""Validation of the addresses and IP families of a Service, and of what may change in them."""

from collections.abc import Iterable, Sequence

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import ip_address
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, invalid, not_supported, required

_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_FIXED = "may not change once set"


def is_headless(spec: Obj) -> bool:
    """Whether the Service has no address of its own, by its own wish."""
    return spec.get("clusterIPs") == ["None"] or (
        not spec.get("clusterIPs") and spec.get("clusterIP") == "None"
    )


def validate_addresses(spec: Obj) -> Iterable[Violation]:
    """The refusals of clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy."""
    address, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    families, policy = spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
    if address and not addresses:
        yield required("spec.clusterIPs")
    elif address and addresses[0] != address:
        yield invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")
    elif addresses and not address:
        yield invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified")
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            yield not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        if family in families[:index]:
            yield duplicate(f"spec.ipFamilies[{index}]", family)
    if policy is not None and policy not in _POLICIES:
        yield not_supported("spec.ipFamilyPolicy", policy, _POLICIES)
    yield from _each(addresses, families)


def _each(addresses: Sequence[str], families: Sequence[str]) -> Iterable[Violation]:
    wrong = False
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                wrong = True
                yield invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")
            continue
        for reason in ip_address(address):
            wrong = True
            yield invalid(f"spec.clusterIPs[{index}]", address, reason)
    if len(addresses) > 2:
        yield invalid("spec.clusterIPs", addresses, "may only hold up to 2 values")
    if wrong or not addresses or addresses[0] == "None":
        return
    if len(addresses) > 1 and len({_family(address) for address in addresses}) < len(addresses):
        yield invalid("spec.clusterIPs", addresses, "may specify no more than one IP for each IP family")
    for index, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if family in _FAMILIES and _family(address) != family:
            told = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield invalid(f"spec.clusterIPs[{index}]", address, told)


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def validate_address_update(spec: Obj, old: Obj) -> Iterable[Violation]:
    """The refusals of a change: the first address and family stay for as long as the Service has them."""
    if "ExternalName" in (spec["type"], old.get("type")):
        return
    yield from _addresses_update(spec, old)
    if is_headless(spec) or is_headless(old):
        return
    families, before = spec.get("ipFamilies") or [], old.get("ipFamilies") or []
    if len(families) == len(before):
        changed = any(new != known for new, known in zip(families, before, strict=True))
    else:
        changed = bool(families and before) and families[0] != before[0]
    if changed:
        yield invalid("spec.ipFamilies[0]", families, _FIXED)
    yield from _released(spec, families, before, "ipFamily")


def _addresses_update(spec: Obj, old: Obj) -> Iterable[Violation]:
    if is_headless(spec) and is_headless(old):
        return
    addresses, before = spec.get("clusterIPs") or [], old.get("clusterIPs") or []
    if len(addresses) == len(before):
        for index, (new, known) in enumerate(zip(addresses, before, strict=True)):
            if new != known:
                yield invalid(f"spec.clusterIPs[{index}]", addresses, _FIXED)
        return
    if before and not addresses:
        yield invalid("spec.clusterIPs[0]", addresses, "primary clusterIP can not be unset")
    elif before and addresses[0] != before[0]:
        yield invalid("spec.clusterIPs[0]", addresses, _FIXED)
    yield from _released(spec, addresses, before, "clusterIP")


def _released(spec: Obj, new: Sequence[str], old: Sequence[str], what: str) -> Iterable[Violation]:
    if len(old) > len(new) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        told = f"must be set to 'SingleStack' when releasing the secondary {what}"
        yield invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), told)
