"""csi: volumes of drivers that have registered on this node, of a claim or of the pod's own (ephemeral).

A volume is noted on disk before anything is asked of its driver, so that whatever happens it is taken down
again (`teardown`). It is waited for until it is attached where its driver says so, staged once for all pods,
published for each, given to the pod's fsGroup by the driver's policy, published again where the driver wants
that, and expanded when its PersistentVolume has grown.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from minikube_py.aio.clock import within
from minikube_py.client.base import Change
from minikube_py.kinds.storage.csidriver import CSIDriver
from minikube_py.kinds.storage.volumeattachment import VolumeAttachment, attachment_name
from minikube_py.kubelet.volumes import csispec
from minikube_py.kubelet.volumes.base import (
    ANY_DRIVER,
    Mounted,
    ObjectRef,
    VolumeContext,
    VolumeFailed,
    VolumeKind,
)
from minikube_py.kubelet.volumes.csiexpand import expand
from minikube_py.kubelet.volumes.csispec import PLUGIN, CsiVolumeSpec
from minikube_py.kubelet.volumes.mounts import is_mounted
from minikube_py.kubelet.volumes.ownership import change_policy, give, group_of
from minikube_py.kubelet.volumes.persistent import Claimed, PersistentKind
from minikube_py.kubelet.volumes.storage import VOLUME_DATA, Driver
from minikube_py.kubelet.volumes.tokens import Tokens
from minikube_py.meta.objects import Key, Obj, dig
from minikube_py.runtime.csi import STAGE, CsiFailed, VolumeCall

DEVICE = "MountVolume.MountDevice"
ATTACHED_WITHIN = 120.0  # seconds
REPUBLISHED = 90.0
"""Seconds after which a volume is published again for a driver that wants that."""


class CsiVolume(VolumeKind):
    """A volume of the pod's own: made with the pod, and gone with it."""

    source = "csi"

    def __init__(self) -> None:
        self._mounts = CsiMounts()

    def needs(self, pod: Obj, volume: Obj) -> Iterator[ObjectRef]:
        yield ANY_DRIVER

    async def make(self, context: VolumeContext, volume: Obj) -> Mounted:
        return await self._mounts.mount(context, csispec.inline_spec(context.pod, volume))

    async def refresh(self, context: VolumeContext, volume: Obj) -> None:
        await self._mounts.refresh(context, csispec.inline_spec(context.pod, volume))

    def forget(self, uid: str) -> None:
        self._mounts.tokens.forget(uid)


class CsiPersistent(PersistentKind):
    """A volume of a claim."""

    source = "csi"

    def __init__(self) -> None:
        self._mounts = CsiMounts()

    async def mount(self, context: VolumeContext, claimed: Claimed) -> Mounted:
        spec = csispec.persistent_spec(claimed)
        mounted = await self._mounts.mount(context, spec)
        await expand(context, claimed, spec, mounted.path)
        return mounted

    async def refresh(self, context: VolumeContext, claimed: Claimed) -> None:
        spec = csispec.persistent_spec(claimed)
        await self._mounts.refresh(context, spec)
        await expand(context, claimed, spec, self._mounts.target(context, spec))


class CsiMounts:
    """The work with drivers that both kinds share."""

    def __init__(self) -> None:
        self.tokens = Tokens()

    def target(self, context: VolumeContext, spec: CsiVolumeSpec) -> Path:
        """Where the volume is published for the pod."""
        if spec.block:
            publish = context.config.root_dir / "plugins/kubernetes.io/csi/volumeDevices/publish"
            return publish / spec.spec_name / context.pod["metadata"]["uid"]
        return context.directory("csi", spec.spec_name) / "mount"

    async def mount(self, context: VolumeContext, spec: CsiVolumeSpec) -> Mounted:
        """The volume, published for the pod. Errors: VolumeFailed, OSError."""
        target = self.target(context, spec)
        mounted = Mounted(target, spec.read_only, spec.block)
        about = context.client.cache.get(CSIDriver, Key("", spec.driver))
        there = await context.storage.run(lambda: is_mounted(target))
        if there and not dig(about, "spec.requiresRepublish"):
            return mounted  # made before a restart of the kubelet; its driver need not be back yet
        driver = _driver(context, spec)
        csispec.check_lifecycle(spec.driver, spec.ephemeral, about)
        publish_context = await self._attach(context, spec)
        async with context.storage.lock(spec.device):
            try:
                call = await self._stage(context, spec, driver, publish_context)
                await self._publish(context, spec, driver, call)
            except CsiFailed as failure:
                raise VolumeFailed(str(failure), name=spec.spec_name) from failure
        group = group_of(context.pod)
        if group is not None and not there and csispec.takes_group(spec, about) and not call.capability.group:
            policy = change_policy(context.pod)
            await context.storage.run(lambda: give(target, group, policy=policy))
        return mounted

    async def refresh(self, context: VolumeContext, spec: CsiVolumeSpec) -> None:
        """Publish again, for a driver that wants that. Errors: VolumeFailed, OSError."""
        about = context.client.cache.get(CSIDriver, Key("", spec.driver))
        due = context.refresh_at.get(spec.spec_name, 0.0) <= context.clock.now().timestamp()
        if dig(about, "spec.requiresRepublish") and due:
            context.refresh_at.pop(spec.spec_name, None)
            await self.mount(context, spec)

    async def _attach(self, context: VolumeContext, spec: CsiVolumeSpec) -> dict[str, str]:
        """Note the volume and wait until it is attached; what its attachment says to publish it with."""
        attachment = _attachment(context, spec)
        folder = context.directory("csi", spec.spec_name)
        if not (folder / VOLUME_DATA).exists():
            note = csispec.note(spec, context.config.node_name, attachment)
            await context.storage.run(lambda: _write(folder, note))
        if not attachment:
            return {}
        await context.storage.tell_in_use()
        try:
            found = await within(context.clock, ATTACHED_WITHIN, _attached(context, attachment))
        except TimeoutError as error:
            told = f"timed out waiting for external-attacher of {spec.driver} CSI driver to attach volume "
            step = "MountVolume.WaitForAttach"
            raise VolumeFailed(told + spec.handle, step=step, name=spec.spec_name) from error
        return dig(found, "status.attachmentMetadata") or {}

    async def _stage(
        self, context: VolumeContext, spec: CsiVolumeSpec, driver: Driver, publish_context: dict[str, str]
    ) -> VolumeCall:
        """Stage the volume unless it is; what it is published with. Errors: VolumeFailed, OSError,
        CsiFailed."""
        capabilities = await driver.node.capabilities()
        staging = csispec.staging_folder(context.config.root_dir, spec)
        staged = STAGE in capabilities and not spec.ephemeral
        target = self.target(context, spec)
        places = (str(target), str(staging) if staged else "")
        note = csispec.note(spec, context.config.node_name, _attachment(context, spec), places)
        await context.storage.run(lambda: _write(context.directory("csi", spec.spec_name), note))
        call = VolumeCall(
            volume=spec.handle,
            staging=driver.path(staging) if staged else "",
            target=driver.path(target),
            capability=csispec.capability(spec, capabilities, group_of(context.pod)),
            read_only=spec.read_only,
            context=spec.attributes,
            publish_context=publish_context,
            secrets=_secrets(context, spec.stage_secret, "NodeStageSecretRef") if staged else {},
        )
        if staged and not await context.storage.run(lambda: is_mounted(staging)):
            data = {"driverName": spec.driver, "volumeHandle": spec.handle}
            await context.storage.run(lambda: _make_staging(staging, data))
            try:
                await driver.node.stage(call)
            except CsiFailed as failure:
                raise VolumeFailed(str(failure), step=DEVICE, name=spec.spec_name) from failure
        return call

    async def _publish(
        self, context: VolumeContext, spec: CsiVolumeSpec, driver: Driver, staged: VolumeCall
    ) -> None:
        about = context.client.cache.get(CSIDriver, Key("", spec.driver))
        values = dict(spec.attributes)
        if dig(about, "spec.podInfoOnMount"):
            values |= csispec.pod_info(context.pod, spec.ephemeral)
        if requests := dig(about, "spec.tokenRequests"):
            values[csispec.TOKENS] = await self._tokens(context, spec, requests)
        if dig(about, "spec.requiresRepublish"):
            again = context.clock.now().timestamp() + REPUBLISHED
            context.refresh_at[spec.spec_name] = min(again, context.refresh_at.get(spec.spec_name, again))
        secrets = _secrets(context, spec.publish_secret, "NodePublishSecretRef")
        target = self.target(context, spec)
        await context.storage.run(lambda: target.parent.mkdir(parents=True, exist_ok=True, mode=0o750))
        await driver.node.publish(replace(staged, context=values, secrets=secrets))

    async def _tokens(self, context: VolumeContext, spec: CsiVolumeSpec, requests: list[Obj]) -> str:
        found = {}
        for request in requests:
            audience = request.get("audience") or ""
            token = await self.tokens.get(context, spec.spec_name, audience, request)
            found[audience] = {"token": token.text, "expirationTimestamp": token.expires}
        return orjson.dumps(found).decode()


def _attachment(context: VolumeContext, spec: CsiVolumeSpec) -> str:
    """The name of the volume's attachment to this node; '' where it needs none."""
    about = context.client.cache.get(CSIDriver, Key("", spec.driver))
    if not csispec.attach_required(about, spec):
        return ""
    return attachment_name(spec.driver, spec.handle, context.config.node_name)


def _driver(context: VolumeContext, spec: CsiVolumeSpec) -> Driver:
    driver = context.storage.drivers.get(spec.driver)
    if driver is not None:
        return driver
    missing = f"driver name {spec.driver} not found in the list of registered CSI drivers"
    if spec.ephemeral:
        raise VolumeFailed(f"{PLUGIN}: mounter.SetUpAt failed to get CSI client: {missing}")
    told = f"{PLUGIN}: attacher.MountDevice failed to create newCsiDriverClient: {missing}"
    raise VolumeFailed(told, step=DEVICE, name=spec.spec_name)


def _secrets(context: VolumeContext, ref: tuple[str, str], what: str) -> dict[str, str]:
    namespace, name = ref
    if not name:
        return {}
    found = context.lookup("Secret", namespace, name)
    if found is None:
        raise VolumeFailed(f'fetching {what} {namespace}/{name} failed: secrets "{name}" not found')
    return csispec.secret_values(found)


async def _attached(context: VolumeContext, name: str) -> Obj:
    """The VolumeAttachment once it is attached."""
    found: asyncio.Future[Obj] = asyncio.get_running_loop().create_future()

    def see(change: Change) -> None:
        obj = change.object
        ours = obj["metadata"]["name"] == name and change.type != "DELETED"
        if ours and dig(obj, "status.attached") and not found.done():
            found.set_result(obj)

    unsubscribe = context.client.cache.subscribe(VolumeAttachment, see)
    try:
        return await found
    finally:
        unsubscribe()


def _write(folder: Path, data: Obj) -> None:
    """Note a volume on disk, for the kubelet that takes it down."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    fresh = folder / f".{VOLUME_DATA}"
    fresh.write_bytes(orjson.dumps(data))
    fresh.rename(folder / VOLUME_DATA)


def _make_staging(staging: Path, data: Obj) -> None:
    staging.mkdir(parents=True, exist_ok=True, mode=0o750)
    if staging.name == "globalmount":
        _write(staging.parent, data)
