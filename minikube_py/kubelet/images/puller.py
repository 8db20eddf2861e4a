"""ImagePuller: the image of a container at hand before it is created, by pull policy, with backoff.

Pulls of one image with the same credentials are shared; at most `parallel` run at once. A failed pull is
tried again after 10 s, doubling to 5 min, per pod and image. Refusals are `ImageRefused`, whose reason is the
container's waiting reason.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.backoff import Backoff
from minikube_py.kubelet.images.keyring import BadAuth, credentials_for
from minikube_py.meta.objects import Obj, namespace_of, uid_of
from minikube_py.runtime.base import (
    Credentials,
    Image,
    ImagePullFailed,
    Images,
    RuntimeFailed,
    RuntimeUnavailable,
)
from minikube_py.runtime.reference import BadReference, parse

SHOWN = 3.0  # seconds for which a failed pull is shown before the wait for the next one

AGAIN = 10.0  # seconds after which a pull secret is looked at again that could not be read

FRESH = 0.2  # seconds for which it is known, of the image asked for last, that it is there

Pulled = tuple[Image, float] | Exception
"""An image with the seconds that its pull waited for its turn, or why it could not be pulled."""

Tell = Callable[[str, str, str], None]
"""Record an event about the container: type, reason, message."""


class ImageRefused(Exception):
    """The container waits for its image. `retry_at` (seconds since the epoch) is when to try again."""

    def __init__(self, reason: str, message: str, retry_at: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_at = reason, message, retry_at


class ImagePuller:
    """Makes images ready for containers."""

    def __init__(
        self, images: Images, clock: Clock, *, parallel: int = 3, node_config: Path | None = None
    ) -> None:
        """`parallel` pulls at once; `node_config` is the node's own docker config.json, where there is one."""
        self._images, self._clock, self._node_config = images, clock, node_config
        self._slots = asyncio.Semaphore(parallel)
        self._backoff = Backoff(10.0, 300.0)
        self._last_error: dict[str, str] = {}
        self._pulls: dict[tuple[str, Credentials | None], asyncio.Task[Pulled]] = {}
        self._present: tuple[str, float, Image | None] = ("", 0.0, None)  # until when the image is known so
        self._tasks = Tasks("kubelet/pulls")
        self.pulled: Callable[[str, float, float, int], None] = lambda uid, begun, ended, size: None
        """Told of each image that was pulled: the pod's uid, when it was begun and ended (in seconds of the
        clock), bytes."""

    async def close(self) -> None:
        """Cancel what is being pulled."""
        await self._tasks.cancel()

    async def ensure(self, pod: Obj, container: Obj, credentials: Sequence[Obj], tell: Tell) -> Image:
        """The image of `container`, pulled if its policy asks for it; `credentials` are the pull secrets.
        Errors: ImageRefused."""
        text = container.get("image", "")
        try:
            reference = parse(text)
        except BadReference as error:
            why = f'Failed to apply default image tag "{text}": couldn\'t parse image name "{text}": {error}'
            tell("Warning", "InspectFailed", why)
            raise ImageRefused("InvalidImageName", why) from error
        policy = container.get("imagePullPolicy") or (
            "Always" if reference.tag == "latest" and not reference.digest else "IfNotPresent"
        )
        present = None if policy == "Always" else await self._status(text, tell)
        if present is not None:
            tell("Normal", "Pulled", f'Container image "{text}" already present on machine')
            return present
        if policy == "Never":
            why = f'Container image "{text}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", why)
            raise ImageRefused("ErrImageNeverPull", why)
        node_config = await asyncio.to_thread(self._read_node_config)
        try:
            keys = credentials_for(f"{reference.domain}/{reference.path}", credentials, node_config)
        except BadAuth as error:  # it is its own reason, as in a kubelet
            raise ImageRefused(str(error), str(error), self._clock.now().timestamp() + AGAIN) from error
        return await self._pull(f"{uid_of(pod)}_{text}", text, keys, tell)

    def _read_node_config(self) -> bytes:
        try:
            return self._node_config.read_bytes() if self._node_config is not None else b""
        except OSError:
            return b""

    async def _status(self, text: str, tell: Tell) -> Image | None:
        """The image if it is there; pods that start at once share the answer."""
        now = self._clock.monotonic()
        if self._present[0] == text and now < self._present[1]:
            return self._present[2]
        try:
            found = await self._images.status(text)
        except (RuntimeFailed, TimeoutError) as error:
            why = f'Failed to inspect image "{text}": {error}'
            tell("Warning", "InspectFailed", why)
            raise ImageRefused("ImageInspectError", why) from error
        if found is not None:
            self._present = (text, now + FRESH, found)
        return found

    async def _pull(self, key: str, text: str, keys: Sequence[Credentials], tell: Tell) -> Image:
        now = self._clock.now().timestamp()
        until = self._backoff.until(key)
        if until > now:
            why = f'Back-off pulling image "{text}"'
            tell("Normal", "BackOff", why)
            last = self._last_error.get(key, "")
            raise ImageRefused("ImagePullBackOff", f"{why}: ErrImagePull: {last}" if last else why, until)
        tell("Normal", "Pulling", f'Pulling image "{text}"')
        begun = self._clock.monotonic()
        try:
            image, waited = await self._try_each(text, [*keys] or [None])
        except ImagePullFailed as error:
            why = str(error)
            tell("Warning", "Failed", f'Failed to pull image "{text}": {why}')
            self._last_error[key] = why
            now = self._clock.now().timestamp()
            until = now + self._backoff.next(key, now)
            # seen as ErrImagePull first, then as ImagePullBackOff until the next attempt
            raise ImageRefused("ErrImagePull", why, min(until, now + SHOWN)) from error
        except RuntimeUnavailable as error:  # no fault of the image's: no wait that grows
            tell("Warning", "Failed", f'Failed to pull image "{text}": {error}')
            retry = self._clock.now().timestamp() + SHOWN
            raise ImageRefused("ErrImagePull", str(error), retry) from error
        took = self._clock.monotonic() - begun
        self._backoff.forget(key)
        self._last_error.pop(key, None)
        self.pulled(key.partition("_")[0], begun + waited, begun + took, image.size)
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{text}" in {_span(took - waited)} ({_span(took)} including waiting). '
            f"Image size: {image.size} bytes.",
        )
        return image

    async def _try_each(self, text: str, keys: Sequence[Credentials | None]) -> tuple[Image, float]:
        """The image by the first credentials that work, and how long the last pull waited for its turn."""
        failures: dict[str, None] = {}
        for credentials in keys:
            task = self._pulls.get((text, credentials))
            if task is None:
                task = self._tasks.spawn(self._pull_once(text, credentials), text)
                self._pulls[(text, credentials)] = task
                task.add_done_callback(partial(self._forget_pull, (text, credentials)))
            answer = await asyncio.shield(task)
            if isinstance(answer, RuntimeUnavailable):
                raise RuntimeUnavailable(str(answer)) from answer
            if not isinstance(answer, Exception):
                return answer
            failures[str(answer)] = None
        raise ImagePullFailed(next(iter(failures)) if len(failures) == 1 else f"[{', '.join(failures)}]")

    def _forget_pull(self, key: tuple[str, Credentials | None], _: object) -> None:
        self._pulls.pop(key, None)

    async def _pull_once(self, text: str, credentials: Credentials | None) -> Pulled:
        asked = self._clock.monotonic()
        async with self._slots:
            waited = self._clock.monotonic() - asked
            try:
                return await self._images.pull(text, credentials), waited
            except (RuntimeFailed, TimeoutError) as error:
                return error  # each who waits for it raises its own


def _span(seconds: float) -> str:
    """A duration in whole milliseconds as Go prints one: 87ms, 1.204s, 1m0.5s."""
    whole = max(0, int(seconds * 1000))
    if whole < 1000:
        return f"{whole}ms" if whole else "0s"
    minutes, rest = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}" if minutes else text


def namespace_secrets(pod: Obj, lookup: Callable[[str, str, str], Obj | None], tell: Tell) -> list[Obj]:
    """The pod's image pull secrets that exist; the pod is told of those that do not."""
    names = [ref.get("name", "") for ref in pod["spec"].get("imagePullSecrets") or ()]
    found = {name: lookup("Secret", namespace_of(pod), name) for name in names if name}
    if missing := [name for name, secret in found.items() if secret is None]:
        tell(
            "Warning",
            "FailedToRetrieveImagePullSecret",
            f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
            "attempting to pull the image may not succeed.",
        )
    return [secret for secret in found.values() if secret is not None]
