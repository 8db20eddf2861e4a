"""apply: make the cluster hold what YAML files say, by server-side apply."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from minikube_py.cli.main import Failure
from minikube_py.cli.options import namespace_option
from minikube_py.cli.session import Obj, Session, with_query, with_session
from minikube_py.errors import NotFound

FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap", "Secret")
"""Kinds that others in the same files may need, applied before them."""


@click.command("apply")
@click.option(
    "-f", "--filename", "names", multiple=True, required=True, help="A file, a folder, or - for stdin."
)
@click.option("-R", "--recursive", is_flag=True, help="Look in folders below, too.")
@click.option("--dry-run", is_flag=True, help="Let the server check it, and store nothing.")
@namespace_option
@with_session
def command(session: Session, names: tuple[str, ...], recursive: bool, dry_run: bool, namespace: str) -> None:
    """Create or change objects so that they are as the files say."""
    objects = sorted(read_objects(names, recursive), key=_rank)
    if not objects:
        raise Failure("no objects passed to apply", "the files hold no YAML or JSON document")
    failures = 0
    for obj in objects:
        try:
            session.say(_apply(session, obj, namespace, dry_run))
        except Exception as error:
            failures += 1
            click.echo(f"error: {_label(obj)}: {getattr(error, 'message', error)}", err=True)
    if failures:
        raise click.exceptions.Exit(1)


def read_objects(names: tuple[str, ...], recursive: bool = False) -> Iterator[Obj]:
    """The objects in files, folders (their .yaml, .yml and .json) or stdin; Lists are taken apart.
    Errors: Failure that names the file and the line."""
    from minikube_py.meta import yaml

    for name in names:
        for path, text in _texts(name, recursive):
            try:
                documents = yaml.load_all(text)
            except yaml.YamlError as error:
                raise Failure(f"error parsing {path}: {error}", "mend the file and apply it again") from error
            for document in documents:
                yield from _objects(document, path)


def _texts(name: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "stdin", sys.stdin.read()
        return
    path = Path(name)
    if not path.exists():
        raise Failure(f'the path "{name}" does not exist')
    files = [path]
    if path.is_dir():
        found = path.rglob("*") if recursive else path.glob("*")
        files = sorted(file for file in found if file.suffix in (".yaml", ".yml", ".json"))
    for file in files:
        yield str(file), file.read_text()


def _objects(document: object, path: str) -> Iterator[Obj]:
    if document is None:
        return
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        raise Failure(f"{path}: a document has no apiVersion and kind", "every Kubernetes object has both")
    if document["kind"] == "List":
        for item in document.get("items") or ():
            yield from _objects(item, path)
    else:
        yield document


def _rank(obj: Obj) -> int:
    return FIRST.index(obj["kind"]) if obj["kind"] in FIRST else len(FIRST)


def _label(obj: Obj) -> str:
    return f"{obj.get('kind')} {(obj.get('metadata') or {}).get('name', '')}"


def _apply(session: Session, obj: Obj, namespace: str, dry_run: bool) -> str:
    resource = session.find_kind(obj["apiVersion"], obj["kind"])
    meta = obj.setdefault("metadata", {})
    name = meta.get("name")
    if not name:
        raise Failure("metadata.name is missing", "apply needs a name")
    if resource.namespaced:
        namespace = meta.setdefault("namespace", namespace)
    path = resource.path(namespace, name)
    try:
        before = session.get(path)["metadata"]["resourceVersion"]
    except NotFound:
        before = ""
    query = {"fieldManager": "minikube-py", "force": True, "fieldValidation": "Strict"}
    url = with_query(path, query | ({"dryRun": "All"} if dry_run else {}))
    _, content = session.send("PATCH", url, obj, {"Content-Type": "application/apply-patch+yaml"})
    after = json.loads(content)["metadata"].get("resourceVersion", "")
    outcome = "created" if not before else "unchanged" if before == after else "configured"
    return f"{resource.full_name}/{name} {outcome}" + (" (server dry run)" if dry_run else "")
