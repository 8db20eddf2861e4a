"""When an Indexed Job has succeeded before all its indexes have (spec.successPolicy, KEP-3998). Pure."""

from collections.abc import Set

from minikube_py.controllers.jobs.indexes import parse_indexes
from minikube_py.meta.objects import Obj, dig


def matched_rule(job: Obj, completed: Set[int]) -> int | None:
    """The number of the first rule that the succeeded indexes satisfy, or None."""
    for number, rule in enumerate(dig(job, "spec.successPolicy.rules") or ()):
        wanted = rule.get("succeededIndexes")
        counted = completed & parse_indexes(wanted) if wanted is not None else completed
        needed = rule.get("succeededCount")
        if needed is None and wanted is not None:
            needed = len(parse_indexes(wanted))
        if needed is not None and len(counted) >= int(needed):
            return number
    return None
