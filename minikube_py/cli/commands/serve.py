"""serve: the cluster itself, in the foreground; `start` runs it detached."""

import asyncio
import contextlib
import gc
import json
import logging
import os
from typing import Any

import click

from minikube_py.cli.commands.start import settings_options
from minikube_py.cli.lifecycle import progress
from minikube_py.cli.session import Session, with_session
from minikube_py.config import settings


@click.command("serve", hidden=True)
@settings_options
@with_session
def command(session: Session, /, **flags: Any) -> None:
    """Run the cluster in this process until SIGTERM."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # grpc's fork handlers would log at every nft and ip
    gc.disable()  # until the cluster runs: what is loaded at start is there to stay
    from minikube_py.app import Cluster

    profile, told = session.profile, progress()
    chosen = settings(flags, file=profile.home / "config.yaml")
    logging.basicConfig(
        level=chosen.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )

    def tell(**what: Any) -> None:
        if not told.closed:
            told.write(json.dumps(what) + "\n")

    def ready() -> None:
        tell(ready=os.getpid())
        told.close()

    profile.make_folders()
    profile.pid_file.write_text(str(os.getpid()))
    cluster = Cluster(profile, chosen, lambda step: tell(step=step))
    try:
        run(cluster.serve(ready))
    except Exception as error:
        logging.getLogger(__name__).exception("the cluster ended")
        tell(error=f"{error or type(error).__name__}")
        raise click.exceptions.Exit(1) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            if profile.pid_file.read_text() == str(os.getpid()):
                profile.pid_file.unlink()


def run(work: Any) -> None:
    """Run a coroutine on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)
