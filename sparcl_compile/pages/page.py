"""Puts a page together: a template, styles, scripts and the data in one file."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

MARK = re.compile(r"\{\{(\w+)\}\}")
LAYOUT = "dagre.min.js"
"""dagre (MIT, static/dagre.LICENSE) lays graphs out, in a worker of the page."""


def page(title: str, scripts: Sequence[str], data: Mapping[str, Any]) -> str:
    """The text of a page.

    Args:
        title: plain text.
        scripts: files of ``static``, run in this order; they find the data in ``DATA``.
        data: JSON-ready. Names in it come from a model's file: scripts make text of them, never markup.
    """
    parts = {
        "title": html.escape(title),
        "style": _static("page.css"),
        "layout": f"/*\n{_static('dagre.LICENSE')}*/\n{_static(LAYOUT)}" if "graph.js" in scripts else "",
        "data": _embedded(data),
        "script": "\n".join(_static(name) for name in scripts),
    }
    # All at once: a name in the data may look like a mark of the template.
    return MARK.sub(lambda found: parts[found[1]], _static("page.html"))


def _static(name: str) -> str:
    return (files("sparcl_compile.pages") / "static" / name).read_text(encoding="utf-8")


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: no text of a name ends it."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
