"""ResourceQuota: what a write uses is charged to the namespace's quotas before the object is stored.

Guarantees: usage never passes a quota, however many writes come at once. Writes of a namespace are decided one
after the other, those that wait together, and charged with one compare-and-swap of each quota's status. A quota
whose usage nobody has counted yet is counted here, at once. While a write is under way its charge is added to
whatever usage the quota controller counts meanwhile, so that no count loses it. A dry run charges nothing.
Limits: what is charged for a write that fails later stays until the quota controller counts again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from minikube_py.apiserver.admission.base import WRITES, Plugin, Surroundings, forbid, object_of
from minikube_py.apiserver.admission.quota_charges import Refused, charged, cost
from minikube_py.errors import ApiError, Conflict, InternalError, NotFound
from minikube_py.kinds.core.resourcequota import ResourceQuota
from minikube_py.kinds.quota.bounds import Bounds, bounds_of, measure
from minikube_py.kinds.quota.evaluators import evaluator_of
from minikube_py.meta.amounts import Amounts, only, plus, same
from minikube_py.meta.objects import Obj, copy, dig, name_of, namespace_of, uid_of
from minikube_py.registry import faults
from minikube_py.registry.base import SYSTEM, Attributes, Context

STATUS = "resourcequotas/status"
CHANGING = frozenset(("services", "persistentvolumeclaims", "persistentvolumeclaims/status", "pods/resize"))
"""What uses more or less after a change; all else only counts."""
IGNORED = frozenset(("events", "events.events.k8s.io"))
RETRIES = 10
COUNTED_AT_ONCE = 500


@dataclass(slots=True)
class Waiter:
    """A write that waits for its charge."""

    request: Attributes
    charges: dict[str, Amounts] = field(default_factory=dict)
    """Quota > what this write has been charged there."""
    error: ApiError | None = None
    done: bool = False
    abandoned: bool = False


@dataclass(slots=True)
class Lane:
    """The writes of one namespace that wait."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[Waiter] = field(default_factory=list)


@dataclass(slots=True)
class Account:
    """A quota as it is being charged."""

    quota: Obj
    bounds: Bounds
    used: Amounts
    planned: list[tuple[Waiter, Amounts]] = field(default_factory=list)


class ResourceQuotaAdmission(Plugin):
    """Charges quotas."""

    name = "ResourceQuota"
    operations = WRITES

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._context = Context(SYSTEM, field_manager="kube-apiserver")
        self._quotas: dict[str, dict[str, tuple[Obj, Bounds]]] = {}
        self._lanes: dict[str, Lane] = {}
        self._under_way: dict[str, list[Waiter]] = {}
        self.registry.follow(ResourceQuota, self._put, self._remove)

    def mutates(self, operation: str, resource: str) -> bool:
        return operation == "UPDATE" and resource == STATUS

    def validates(self, operation: str, resource: str) -> bool:
        if operation == "CREATE":
            return "/" not in resource and resource not in IGNORED
        return operation == "UPDATE" and resource in CHANGING

    def _put(self, quota: Obj) -> None:
        known = self._quotas.setdefault(namespace_of(quota), {})
        known[name_of(quota)] = (quota, bounds_of(quota))

    def _remove(self, quota: Obj) -> None:
        known = self._quotas.get(namespace_of(quota), {})
        known.pop(name_of(quota), None)
        if not known:
            self._quotas.pop(namespace_of(quota), None)

    async def mutate(self, request: Attributes) -> None:
        if request.context is self._context or request.reinvocation is not None:
            return
        status = object_of(request).get("status") or {}
        used, before = status.get("used"), dig(request.old, "status.used")
        flying = self._charges_under_way(request.namespace, request.name)
        if used and flying and used != before:
            status["used"] = plus(used, only(flying, used.keys()))

    async def validate(self, request: Attributes) -> None:
        quotas = self._quotas.get(request.namespace)
        if quotas is None or not self._costs(request, quotas):
            return
        self._refuse_existing(request)
        lane = self._lanes.setdefault(request.namespace, Lane())
        waiter = Waiter(request)
        lane.waiting.append(waiter)
        try:
            async with lane.lock:
                while not waiter.done:
                    await self._settle(request.namespace, lane)
        finally:
            waiter.abandoned = not waiter.done
            lane.waiting = [one for one in lane.waiting if one is not waiter]
            idle = not lane.waiting and not lane.lock.locked()
            if idle and self._lanes.get(request.namespace) is lane:
                del self._lanes[request.namespace]
        if waiter.error is not None:
            raise waiter.error

    def _costs(self, request: Attributes, quotas: dict[str, tuple[Obj, Bounds]]) -> dict[str, Amounts]:
        """What the write costs each quota. Errors: Forbidden."""
        resource, found = request.kind.resource, {}
        for name in sorted(quotas):
            bounds = quotas[name][1]
            if resource not in bounds.names:
                continue
            now, new = self.clock.now(), object_of(request)
            try:
                amounts = cost(bounds, evaluator_of(resource), new, request.old, now)
            except Refused as refused:
                raise forbid(request, str(refused)) from refused
            if amounts:
                found[name] = amounts
        return found

    def _refuse_existing(self, request: Attributes) -> None:
        """Refuse a name that is taken before it is charged. Errors: AlreadyExists."""
        meta = object_of(request)["metadata"]
        if request.operation != "CREATE" or meta.get("generateName"):
            return
        if self.lookup(request.kind, request.namespace, request.name) is not None:
            raise faults.already_exists(request.kind, request.name)

    async def _settle(self, namespace: str, lane: Lane) -> None:
        """Decide all that wait in the lane, whose lock is held."""
        batch, lane.waiting = lane.waiting, []
        try:
            for _ in range(RETRIES):
                left = [waiter for waiter in batch if not waiter.done]
                if not left:
                    return
                await self._charge(namespace, left)
            for waiter in batch:
                if not waiter.done:
                    waiter.error = InternalError("resource quota evaluation timed out")
                    waiter.done = True
        finally:
            lane.waiting = [waiter for waiter in batch if not waiter.done] + lane.waiting

    async def _charge(self, namespace: str, batch: Sequence[Waiter]) -> None:
        """Decide the batch on the quotas as they are now; who meets a newer quota stays undecided."""
        accounts: dict[str, Account] = {}
        for waiter in batch:
            try:
                await self._plan(namespace, waiter, accounts)
            except ApiError as error:
                waiter.error, waiter.done = error, True
        due = [account for account in accounts.values() if account.planned]
        stored = await asyncio.gather(*(self._store(account) for account in due))
        failed = {
            id(waiter)
            for account, ok in zip(due, stored, strict=True)
            if not ok
            for waiter, _ in account.planned
        }
        for waiter in batch:
            if not waiter.done and id(waiter) not in failed:
                waiter.done = True
                self._note_under_way(namespace, waiter)

    async def _plan(self, namespace: str, waiter: Waiter, accounts: dict[str, Account]) -> None:
        """Add a write to the accounts of its quotas. Errors: Forbidden."""
        request, after = waiter.request, {}
        costs = self._costs(request, self._quotas.get(namespace, {}))
        for name, wanted in costs.items():
            if name in waiter.charges:
                continue
            if name not in accounts:
                accounts[name] = await self._account(namespace, name)
            account = accounts[name]
            try:
                after[name] = self._after(account, wanted, request)
            except Refused as refused:
                raise forbid(request, str(refused)) from refused
        if request.context.dry_run:
            return
        for name, used in after.items():
            accounts[name].used = used
            accounts[name].planned.append((waiter, costs[name]))

    def _after(self, account: Account, wanted: Amounts, request: Attributes) -> Amounts:
        if request.subresource == "status":  # what has happened is charged, whatever the quota says
            return plus(account.used, wanted)
        return charged(account.bounds, account.used, wanted)

    async def _account(self, namespace: str, name: str) -> Account:
        quota, bounds = self._quotas[namespace][name]
        used = dig(quota, "status.used") or {}
        known = same(dig(quota, "status.hard") or {}, bounds.hard)
        if known and all(one in used for names in bounds.names.values() for one in names):
            return Account(quota, bounds, dict(used))
        return Account(quota, bounds, await self._count(namespace, bounds))

    async def _count(self, namespace: str, bounds: Bounds) -> Amounts:
        """What the namespace's objects, and the writes under way, use of a quota."""
        total = only(self._charges_under_way(namespace, bounds.name), bounds.hard.keys())
        found = {}
        for resource in bounds.names:
            plural, _, group = resource.partition(".")
            if kind := self.registry.catalogue.find(group, plural):
                found[resource] = self.registry.list(kind, namespace).entries
        now = self.clock.now()
        for resource, entries in found.items():
            total = plus(total, measure(bounds, {resource: ()}, now))
            for start in range(0, len(entries), COUNTED_AT_ONCE):
                chunk = [self.registry.decoded(e) for e in entries[start : start + COUNTED_AT_ONCE]]
                total = plus(total, measure(bounds, {resource: chunk}, now))
                await asyncio.sleep(0)
        return total

    async def _store(self, account: Account) -> bool:
        """Whether the account's quota now says the new usage; not where the quota has changed."""
        changed = copy(account.quota)
        changed["status"] = {**(changed.get("status") or {}), "hard": account.bounds.hard, "used": account.used}
        place = namespace_of(changed), name_of(changed)
        try:
            await self.registry.update(ResourceQuota, *place, changed, self._context, "status")
        except (Conflict, NotFound):
            return False
        for waiter, amounts in account.planned:
            waiter.charges[place[1]] = amounts
        return True

    def _note_under_way(self, namespace: str, waiter: Waiter) -> None:
        """Remember the charge until the write has ended."""
        if not waiter.charges or waiter.abandoned:
            return
        self._under_way.setdefault(namespace, []).append(waiter)
        waiter.request.ended.append(lambda: self._forget(namespace, waiter))

    def _forget(self, namespace: str, waiter: Waiter) -> None:
        left = [one for one in self._under_way.get(namespace, ()) if one is not waiter]
        if left:
            self._under_way[namespace] = left
        else:
            self._under_way.pop(namespace, None)

    def _charges_under_way(self, namespace: str, quota: str) -> Amounts:
        """What writes have been charged whose objects are not stored yet."""
        total: Amounts = {}
        for waiter in self._under_way.get(namespace, ()):
            if quota in waiter.charges and not self._is_stored(waiter.request):
                total = plus(total, waiter.charges[quota])
        return total

    def _is_stored(self, request: Attributes) -> bool:
        new = object_of(request)
        stored = self.lookup(request.kind, request.namespace, name_of(new))
        if stored is None or uid_of(stored) != uid_of(new):
            return False
        return (
            request.old is None
            or stored["metadata"]["resourceVersion"] != request.old["metadata"]["resourceVersion"]
        )
