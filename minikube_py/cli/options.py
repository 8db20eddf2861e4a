"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click


def _every_namespace(ctx: click.Context, _: click.Parameter, every: bool) -> None:
    if every:
        ctx.params["namespace"] = ""


def _namespace(ctx: click.Context, _: click.Parameter, value: str) -> str:
    return str(ctx.params.get("namespace", value))


def namespace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-n NAMESPACE`."""
    return click.option("-n", "--namespace", default="default", show_default=True, help="The namespace.")(
        command
    )


def namespace_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-n NAMESPACE`, and `-A` for all (the namespace is then empty)."""
    every = click.option(
        "-A",
        "--all-namespaces",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_every_namespace,
        help="In every namespace.",
    )
    one = click.option(
        "-n", "--namespace", default="default", show_default=True, callback=_namespace, help="The namespace."
    )
    return every(one(command))
