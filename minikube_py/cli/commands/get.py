"""get: show objects as the server's tables, or as YAML or JSON."""

import json
from collections.abc import Sequence

import click

from minikube_py.cli import output
from minikube_py.cli.options import namespace_options
from minikube_py.cli.session import TABLE, Obj, Resource, Session, parse_targets, with_session


@click.command("get")
@click.argument("targets", nargs=-1, required=True, metavar="TYPE[,TYPE] [NAME...] | TYPE/NAME...")
@namespace_options
@click.option("-l", "--selector", default="", help="Label selector, such as app=web,tier!=db.")
@click.option("--field-selector", default="", help="Field selector, such as status.phase=Running.")
@click.option("-o", "--output", "form", default="", help="wide, yaml, json or name.")
@click.option("-w", "--watch", is_flag=True, help="Go on with every change.")
@click.option("--no-headers", is_flag=True, help="Leave the headings out.")
@with_session
def command(
    session: Session,
    targets: tuple[str, ...],
    namespace: str,
    selector: str,
    field_selector: str,
    form: str,
    watch: bool,
    no_headers: bool,
) -> None:
    """Show objects of any TYPE (`all`: what workloads consist of)."""
    if form not in ("", "wide", "yaml", "json", "name"):
        raise click.UsageError(f'"{form}" is no output form; there are wide, yaml, json and name')
    wanted = parse_targets(session, targets)
    query = {"labelSelector": selector, "fieldSelector": field_selector}
    if form in ("yaml", "json", "name"):
        _show_objects(session, wanted, namespace, query, form)
        return
    shown = _Tables(
        session, wide=form == "wide", headers=not no_headers, prefix=len({r for r, _ in wanted}) > 1
    )
    found = sum(shown.show(resource, name, namespace, query) for resource, name in wanted)
    if watch:
        shown.watch(wanted[0], namespace, query)
    elif not found:
        where = f" in {namespace} namespace" if namespace and any(r.namespaced for r, _ in wanted) else ""
        click.echo(f"No resources found{where}.", err=True)


def _show_objects(
    session: Session, wanted: Sequence[tuple[Resource, str]], namespace: str, query: Obj, form: str
) -> None:
    objects: list[Obj] = []
    for resource, name in wanted:
        answer = session.get(resource.path(namespace, name), **({} if name else query))
        items = [answer] if name else answer["items"]
        objects += [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in items]
        if form == "name":
            for item in items:
                session.say(f"{resource.full_name}/{item['metadata']['name']}")
    if form == "name":
        return
    single = len(wanted) == 1 and wanted[0][1]
    shown = objects[0] if single else {"apiVersion": "v1", "kind": "List", "items": objects, "metadata": {}}
    session.say(output.as_yaml(shown) if form == "yaml" else output.as_json(shown))


class _Tables:
    """Prints tables of one or several resources, and goes on with a watch."""

    def __init__(self, session: Session, *, wide: bool, headers: bool, prefix: bool) -> None:
        self._session = session
        self._wide, self._headers, self._prefix = wide, headers, prefix
        self._printed = 0
        self._widths: list[int] = []
        self._revision = ""

    def show(self, resource: Resource, name: str, namespace: str, query: Obj) -> int:
        """Print a resource's table; how many rows it had."""
        asked = {} if name else query
        answer = self._session.get(resource.path(namespace, name), TABLE, **asked)
        self._revision = answer["metadata"].get("resourceVersion", "")
        rows = self._rows(resource, namespace, answer)
        if len(rows) > (1 if self._headers else 0):
            self._widths = []
            self._session.say(("\n" if self._printed else "") + output.table(rows, self._widths))
            self._printed += 1
        return len(answer["rows"])

    def _rows(self, resource: Resource, namespace: str, answer: Obj) -> list[list[str]]:
        shown = output.columns(answer, wide=self._wide)
        with_namespace = resource.namespaced and not namespace
        heading = (["NAMESPACE"] if with_namespace else []) + [title for _, title in shown]
        rows = [heading] if self._headers else []
        for row in answer["rows"]:
            cells = output.cells(row, shown)
            if self._prefix:
                cells[0] = f"{resource.full_name}/{cells[0]}"
            rows.append([row["object"]["metadata"]["namespace"], *cells] if with_namespace else cells)
        return rows

    def watch(self, target: tuple[Resource, str], namespace: str, query: Obj) -> None:
        """Print a row for each change until interrupted."""
        resource, name = target
        if name:
            query = {**query, "fieldSelector": f"metadata.name={name}"}
        lines = self._session.stream(
            resource.path(namespace), TABLE, watch=True, resourceVersion=self._revision, **query
        )
        definitions: list[Obj] = []
        for line in lines:
            answer = json.loads(line)["object"]
            definitions = answer.get("columnDefinitions") or definitions
            if answer.get("kind") == "Table":
                rows = self._rows(resource, namespace, {**answer, "columnDefinitions": definitions})
                self._session.say(output.table(rows[1 if self._headers else 0 :], self._widths))
