"""Keeps the condition Dangling of each FlowSchema: whether the priority level that it names is missing."""

import asyncio
import logging

from minikube_py.aio.clock import Clock
from minikube_py.apiserver.bootstrap.flow_schemas import dangling
from minikube_py.apiserver.flow_schemas import FlowSchemas, level_of
from minikube_py.errors import ApiError
from minikube_py.kinds.flowcontrol.flowschema import FlowSchema
from minikube_py.kinds.flowcontrol.prioritylevelconfiguration import PriorityLevelConfiguration
from minikube_py.meta.objects import Obj, condition, copy, dig, name_of, with_condition
from minikube_py.registry.base import Context
from minikube_py.registry.resource import Registry

log = logging.getLogger(__name__)


class FlowConditions:
    """Writes the conditions after each change of a schema or a level."""

    def __init__(self, registry: Registry, schemas: FlowSchemas, clock: Clock) -> None:
        self._registry = registry
        self._schemas = schemas
        self._clock = clock
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Keep the conditions right until cancelled."""
        ends = [
            self._registry.follow(kind, self._note, self._note)
            for kind in (PriorityLevelConfiguration, FlowSchema)
        ]
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                for schema in self._schemas.all():
                    await self._correct(schema)
        finally:
            for end in ends:
                end()

    def _note(self, obj: Obj) -> None:
        self._changed.set()

    async def _correct(self, schema: Obj) -> None:
        wanted = dangling(level_of(schema), missing=not self._schemas.has_level(schema))
        found = condition(schema, "Dangling") or {}
        if all(found.get(field) == value for field, value in wanted.items()):
            return
        changed = copy(schema)
        conditions = dig(schema, "status.conditions", ())
        changed["status"] = {"conditions": with_condition(conditions, wanted, self._clock.now())}
        context = Context(field_manager="api-priority-and-fairness-config-consumer-v1")
        try:
            await self._registry.update(FlowSchema, "", name_of(schema), changed, context, "status")
        except ApiError as error:
            log.debug("the condition of FlowSchema %s was not written: %s", name_of(schema), error)
