"""The kernel's side: applies scripts to the nft table that is ours, and touches no other.

Everything one `apply` changes becomes visible to packets at once. Errors: CommandFailed with nft's own words.
"""

import json
import logging
from collections.abc import Collection, Mapping

from minikube_py.aio import process
from minikube_py.proxy.rules import Elements, Place, ProxyConfig
from minikube_py.proxy.table import base, capacity_of, delta, learners_of
from minikube_py.proxy.tablewatch import TableWatch

log = logging.getLogger(__name__)


class Nftables:
    """Holds what the kernel holds, and moves it to what it should hold."""

    def __init__(self, config: ProxyConfig, watch: TableWatch) -> None:
        self._config, self._watch = config, watch
        self._elements: dict[Place, str] = {}
        self._learners: set[str] = set()
        self._capacity = 16

    async def replace(self, elements: Elements) -> None:
        """Make the table anew with these elements, in one step, whatever was there before; clients keep the
        endpoints that session affinity gave them."""
        while self._capacity < capacity_of(elements):
            self._capacity *= 2
        table = self._config.table
        script = base(self._config, self._capacity) + delta(table, {}, elements, set())
        if kept := [f"{key} timeout {s}s expires {s}s : {data}" for key, data, s in await self._affinities()]:
            script += f"add element ip {table} affinity {{ {', '.join(kept)} }}\n"
        await self._load(script)
        self._elements = dict(elements)
        self._learners = learners_of(elements)

    async def update(self, changes: Mapping[Place, str | None]) -> None:
        """Set or (with None) remove elements. If the table is not as we left it, it is made anew."""
        old = {place: self._elements[place] for place in changes if place in self._elements}
        new = {place: data for place, data in changes.items() if data is not None}
        script = delta(self._config.table, old, new, self._learners)
        if not script:
            return
        wanted = {place: data for place, data in self._elements.items() if place not in changes} | new
        if capacity_of(new) > self._capacity:
            await self.replace(wanted)
            return
        try:
            await self._load(script)
        except process.CommandFailed as error:
            log.warning("the table %s is loaded anew: %s", self._config.table, error)
            await self.replace(wanted)
            return
        self._elements = wanted
        self._learners |= learners_of(new)

    async def forget_affinity(self, endpoints: Collection[str]) -> None:
        """Let clients that were bound to these endpoints ("10.0.0.1 . 80") choose anew."""
        keys = [key for key, data, _ in await self._affinities() if data in endpoints]
        if keys:
            script = f"delete element ip {self._config.table} affinity {{ {', '.join(keys)} }}\n"
            await self._load(script, check=False)

    async def _load(self, script: str, *, check: bool = True) -> None:
        with self._watch.ours():
            await process.run(("nft", "-f", "-"), input=script, check=check)

    @property
    def elements(self) -> Elements:
        """What the kernel holds now."""
        return self._elements

    def endpoints(self) -> dict[Place, str]:
        """What the kernel forwards to now, by place."""
        return {place: data for place, data in self._elements.items() if place.map.endswith("endpoints")}

    async def remove(self) -> None:
        """Delete the table, if it is there, and watch over it no more."""
        self._watch.close()
        table = f"table ip {self._config.table}"
        await self._load(f"{table}\ndelete {table}\n")
        self._elements, self._learners = {}, set()

    async def _affinities(self) -> list[tuple[str, str, int]]:
        """(key, endpoint, seconds left) of each client that is bound to an endpoint."""
        listing = ("nft", "-j", "list", "map", "ip", self._config.table, "affinity")
        listed = await process.run(listing, check=False)
        found = []
        for item in json.loads(listed.stdout).get("nftables", ()) if listed.stdout else ():
            for key, data in item.get("map", {}).get("elem", ()):
                client, mark = key["elem"]["val"]["concat"]
                endpoint = " . ".join(str(part) for part in data["concat"])
                found.append((f"{client} . {mark}", endpoint, max(1, int(key["elem"].get("expires", 1)))))
        return found
