"""/logs/ of the kubelet's server: the machine's log folder, listed as HTML and file by file.

A folder is a page of links in the order of names; its path ends with a slash, and a path without one is sent
there. Byte ranges and If-Modified-Since are served. What a link of the folder leads out of it to is not found.
"""

import asyncio
import html
import os
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from minikube_py.kubelet.server.find import Refused

NOT_FOUND = "404 page not found\n"
HEAD = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n'


def listing(folder: Path) -> str:
    """The page of a folder. Blocking. Errors: OSError."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries)
    links = (f'<a href="{quote(_relative(name))}">{html.escape(name)}</a>\n' for name in names)
    return f"{HEAD}<pre>\n{''.join(links)}</pre>\n"


def _relative(name: str) -> str:
    """A name as a relative link, which must not look like one with a scheme."""
    return f"./{name}" if ":" in name else name


def inside(root: Path, path: str) -> Path:
    """What `path` means below `root`, all links followed. Blocking. Errors: Refused."""
    try:
        top = root.resolve(strict=True)
        found = (top / path.lstrip("/")).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise Refused(404, NOT_FOUND) from error
    if not found.is_relative_to(top) or not (found.is_dir() or found.is_file()):
        raise Refused(404, NOT_FOUND)
    return found


async def node_logs(request: web.BaseRequest, root: Path, path: str) -> web.StreamResponse:
    """The answer for the path behind /logs. Errors: Refused, OSError."""
    found = await asyncio.to_thread(inside, root, path)
    is_folder = await asyncio.to_thread(found.is_dir)
    if is_folder and not path.endswith("/"):
        name = quote(path.rpartition("/")[2]) or "logs"
        return web.Response(status=301, headers={"Location": f"{name}/"})
    if path.endswith("/") and not is_folder:
        return web.Response(status=301, headers={"Location": f"../{quote(found.name)}"})
    if is_folder:
        return web.Response(text=await asyncio.to_thread(listing, found), content_type="text/html")
    return web.FileResponse(found)
