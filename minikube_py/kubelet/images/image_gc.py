"""Image garbage collection: images that no container uses go when the disk fills up, the longest unused first.

Above the high threshold (85% of the disk that holds images) images go until it is at the low one (80%); those
found or used within the minimum age (2 min) stay, as do pinned ones such as the sandbox image. With a maximum
age, images unused for as long go in any case. What this process has not seen used counts as unused since it
saw the image first. Source: the Kubernetes documentation, Garbage Collection.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.runtime.base import Image, Images, RuntimeFailed

log = logging.getLogger(__name__)

INTERVAL = 300.0  # seconds between collections


@dataclass(frozen=True, slots=True)
class ImageGcConfig:
    """Thresholds in percent of the disk; ages in seconds (maximum 0: none)."""

    high: int = 85
    low: int = 80
    minimum_age: float = 120.0
    maximum_age: float = 0.0


@dataclass(frozen=True, slots=True)
class Known:
    """An image as it was seen: first, and last in use (seconds; 0.0: never)."""

    image: Image
    found: float
    used: float = 0.0


def remembered(
    known: dict[str, Known], images: Iterable[Image], in_use: Collection[str], now: float
) -> dict[str, Known]:
    """What is known of the images that are there `now`; `in_use` are ids and names of images."""
    result = {}
    for image in images:
        before = known.get(image.id)
        uses = any(name in in_use for name in (image.id, *image.tags, *image.digests))
        used = now if uses else before.used if before else 0.0
        result[image.id] = Known(image, before.found if before else now, used)
    return result


def unused(known: Iterable[Known], now: float) -> list[Known]:
    """The images that nothing uses now and that may go, the longest unused first."""
    able = [each for each in known if each.used < now and not each.image.pinned]
    return sorted(able, key=lambda each: (each.used, each.found, each.image.id))


def to_free(config: ImageGcConfig, capacity: int, available: int) -> int:
    """Bytes that must be freed on the disk; 0 below the high threshold."""
    if not capacity or 100 - available * 100 // capacity < config.high:
        return 0
    return max(0, capacity * (100 - config.low) // 100 - available)


def too_old(config: ImageGcConfig, candidates: Iterable[Known], now: float) -> list[Known]:
    """The images that have been unused for longer than the maximum age."""
    if not config.maximum_age:
        return []
    return [each for each in candidates if now - max(each.used, each.found) > config.maximum_age]


def chosen(config: ImageGcConfig, candidates: Sequence[Known], wanted: int, now: float) -> list[Known]:
    """Which images go for `wanted` bytes: none that was found, or in use, within the minimum age."""
    result, freed = [], 0
    for each in candidates:
        if freed >= wanted:
            break
        if now - max(each.used, each.found) >= config.minimum_age:
            result.append(each)
            freed += each.image.size
    return result


class ImageGc:
    """Collects the images of `images`. `in_use` gives what containers use; `tell` records a warning about the
    node (reason, message)."""

    def __init__(
        self,
        images: Images,
        clock: Clock,
        config: ImageGcConfig,
        in_use: Callable[[], Collection[str]],
        tell: Callable[[str, str], None],
    ) -> None:
        self._images, self._clock, self._config = images, clock, config
        self._in_use, self._tell = in_use, tell
        self._known: dict[str, Known] = {}
        self.collected: Callable[[str], None] = lambda reason: None
        """Told of each image that was removed, and why: age or space."""

    async def run(self, folder: Path) -> None:
        """Collect every five minutes until cancelled; `folder` is on the disk that holds images."""
        await self._try(self.look)
        while True:
            await self._clock.sleep(INTERVAL)
            await self._try(lambda: self.collect(folder))

    async def _try(self, work: Callable[[], object]) -> None:
        try:
            await work()  # type: ignore[misc]
        except (RuntimeFailed, TimeoutError, OSError) as error:
            log.warning("images cannot be collected: %s", error)

    async def look(self) -> list[Known]:
        """See what is there and what is in use; the images that may go. Errors: RuntimeFailed, TimeoutError."""
        images, now = await self._images.list(), self._clock.now().timestamp()
        self._known = remembered(self._known, images, self._in_use(), now)
        return unused(self._known.values(), now)

    async def collect(self, folder: Path) -> None:
        """Remove what is too old, and as much as the disk needs. Errors: RuntimeFailed, OSError."""
        candidates, now = await self.look(), self._clock.now().timestamp()
        for each in (old := too_old(self._config, candidates, now)):
            await self._remove(each, "age")
        disk = await asyncio.to_thread(os.statvfs, folder)
        wanted = to_free(self._config, disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)
        if not wanted:
            return
        freed = 0
        for each in chosen(self._config, [c for c in candidates if c not in old], wanted, now):
            freed += await self._remove(each, "space")
        if freed < wanted:
            self._tell(
                "FreeDiskSpaceFailed",
                f"Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, "
                f"but only found {freed} bytes eligible to free.",
            )

    async def remove_unused(self) -> None:
        """Remove every image that may go, whatever its age: the disk is full. Errors: RuntimeFailed."""
        for each in await self.look():
            await self._remove(each, "space")

    async def _remove(self, known: Known, reason: str) -> int:
        """Remove an image by all its names; the bytes that frees."""
        image = known.image
        log.info("removing the unused image %s (%d bytes)", next(iter(image.tags), image.id), image.size)
        try:
            await self._images.remove(image.id)
        except (RuntimeFailed, TimeoutError) as error:
            log.warning("image %s cannot be removed: %s", image.id, error)
            return 0
        self._known.pop(image.id, None)
        self.collected(reason)
        return image.size
