"""ImagePuller: the image of a container at hand before it is created, by pull policy, with backoff.

Pulls of one image with the same credentials are shared; at most `parallel` run at once. A failed pull is
tried again after 10 s, doubling to 5 min, per pod and image. Refusals are `ImageRefused`, whose reason is the
container's waiting reason.
"""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Sequence
from functools import partial

import orjson

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.kubelet.backoff import Backoff
from minikube_py.meta.objects import Obj, namespace_of, uid_of
from minikube_py.runtime.base import Credentials, Image, ImagePullFailed, Images, RuntimeFailed
from minikube_py.runtime.reference import BadReference, parse

SHOWN = 3.0  # seconds for which a failed pull is shown before the wait for the next one

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

    def __init__(self, images: Images, clock: Clock, *, parallel: int = 3) -> None:
        self._images, self._clock = images, clock
        self._slots = asyncio.Semaphore(parallel)
        self._backoff = Backoff(10.0, 300.0)
        self._last_error: dict[str, str] = {}
        self._pulls: dict[tuple[str, Credentials | None], asyncio.Task[Pulled]] = {}
        self._tasks = Tasks("kubelet/pulls")

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
            why = f'Failed to apply default image tag "{text}": couldn\'t parse image name: {error}'
            tell("Warning", "InspectFailed", why)
            raise ImageRefused("InvalidImageName", why) from error
        policy = container.get("imagePullPolicy") or (
            "Always" if reference.tag == "latest" and not reference.digest else "IfNotPresent"
        )
        present = await self._status(text, tell)
        if present is not None and policy != "Always":
            tell("Normal", "Pulled", f'Container image "{text}" already present on machine')
            return present
        if policy == "Never":
            why = f'Container image "{text}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", why)
            raise ImageRefused("ErrImageNeverPull", why)
        return await self._pull(f"{uid_of(pod)}_{text}", text, keyring(credentials, reference.domain), tell)

    async def _status(self, text: str, tell: Tell) -> Image | None:
        try:
            return await self._images.status(text)
        except (RuntimeFailed, TimeoutError) as error:
            why = f'Failed to inspect image "{text}": {error}'
            tell("Warning", "InspectFailed", why)
            raise ImageRefused("ImageInspectError", why) from error

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
        took = self._clock.monotonic() - begun
        self._backoff.forget(key)
        self._last_error.pop(key, None)
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{text}" in {_span(took - waited)} ({_span(took)} including waiting). '
            f"Image size: {image.size} bytes.",
        )
        return image

    async def _try_each(self, text: str, keys: Sequence[Credentials | None]) -> tuple[Image, float]:
        """The image by the first credentials that work, and how long the last pull waited for its turn."""
        failure = ImagePullFailed("no credentials")
        for credentials in keys:
            task = self._pulls.get((text, credentials))
            if task is None:
                task = self._tasks.spawn(self._pull_once(text, credentials), text)
                self._pulls[(text, credentials)] = task
                task.add_done_callback(partial(self._forget_pull, (text, credentials)))
            answer = await asyncio.shield(task)
            if not isinstance(answer, Exception):
                return answer
            failure = ImagePullFailed(str(answer))
        raise failure

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


def keyring(secrets: Sequence[Obj], domain: str) -> list[Credentials]:
    """The credentials for a registry in image pull secrets (kubernetes.io/dockerconfigjson or dockercfg)."""
    found: list[Credentials] = []
    for secret in secrets:
        data = secret.get("data") or {}
        try:
            if ".dockerconfigjson" in data:
                entries = orjson.loads(b64decode(data[".dockerconfigjson"])).get("auths") or {}
            elif ".dockercfg" in data:
                entries = orjson.loads(b64decode(data[".dockercfg"]))
            else:
                continue
        except ValueError:
            continue  # a secret that is not well formed cannot help
        found += [_credentials(entry) for server, entry in entries.items() if _serves(server, domain)]
    return found


def _serves(server: str, domain: str) -> bool:
    host = server.removeprefix("https://").removeprefix("http://").split("/")[0]
    return host == domain or (domain == "docker.io" and host in ("index.docker.io", "registry-1.docker.io"))


def _credentials(entry: Obj) -> Credentials:
    user, password = entry.get("username", ""), entry.get("password", "")
    if not user and (auth := entry.get("auth")):
        user, _, password = b64decode(auth).decode(errors="replace").partition(":")
    return Credentials(user, password, entry.get("registrytoken", ""))


def _span(seconds: float) -> str:
    """A duration as Go prints one: 1.204s, 87ms."""
    if seconds >= 1:
        return f"{round(seconds, 3):g}s"
    return f"{max(0, round(seconds * 1000))}ms"


def namespace_secrets(pod: Obj, lookup: Callable[[str, str, str], Obj | None]) -> list[Obj]:
    """The pod's image pull secrets that exist."""
    names = [ref.get("name", "") for ref in pod["spec"].get("imagePullSecrets") or ()]
    found = (lookup("Secret", namespace_of(pod), name) for name in names)
    return [secret for secret in found if secret is not None]
