"""The frame of every page: one HTML file with style, script and data in it, which asks other machines for nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from msfit.view.packing import Blob

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; {policy}">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}{held}{script}</body>
</html>
"""


def document(
    body: str,
    *,
    title: str,
    style: str,
    script: str = "",
    data: Mapping[str, Any] | None = None,
    blobs: Mapping[str, Blob] | None = None,
    asks_server: bool = False,
) -> str:
    """A page that opens offline.

    Parameters
    ----------
    body, style, script : str
        HTML, CSS and JavaScript; without a script none is allowed to run.
    title : str
        Plain text.
    data : mapping, optional
        What the script finds as JSON in the element ``data``.
    blobs : mapping of Blob, optional
        Packed arrays, which ``unpack.js`` finds in elements ``b-NAME``.
    asks_server : bool
        Whether the page may ask the server it came from.
    """
    policy = ["img-src data: blob:", "style-src 'unsafe-inline'"]
    policy += ["script-src 'unsafe-inline'"] if script else []
    policy += ["connect-src 'self'"] if asks_server else []
    held = ""
    if data is not None:
        # "<" may not stand in a script: a title could close it
        described = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
        held = f'<script type="application/json" id="data">{described}</script>\n'
    for name, blob in (blobs or {}).items():
        held += f'<script type="text/plain" id="b-{name}" data-type="{blob.kind}">{blob.text}</script>\n'
    return _FRAME.format(
        policy="; ".join(policy),
        title=html.escape(title),
        style=style,
        body=body,
        held=held,
        script=f"<script>\n{script}</script>\n" if script else "",
    )


def text_of(name: str, package: str = "msfit.view") -> str:
    """A file that a page is made of, such as ``page.css``."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def view_document(name: str, data: Mapping[str, Any], blobs: Mapping[str, Blob]) -> str:
    """The page of NAME.html and NAME.js of this package."""
    script = text_of("unpack.js") + text_of(f"{name}.js")
    return document(
        text_of(f"{name}.html"), title="msfit", style=text_of("page.css"), script=script, data=data, blobs=blobs
    )
