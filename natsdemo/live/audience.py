"""Who looks: somebody who can click, or nobody but a file that is read later."""

import importlib
import os
from typing import Any

from IPython.display import display

_WIDGET = "application/vnd.jupyter.widget-view+json"

# Where the widget lives, its still is not needed. Where it does not live any more (the notebook was opened again, the
# kernel is a new one), JupyterLab has a line of error text in its place, which says less than the still.
_RULES = """<style>
.jp-OutputArea:has(.natsdemo-live) .natsdemo-still { display: none; }
.jp-OutputArea:has(.natsdemo-still) .jp-OutputArea-output.jupyter-widgets:not(:has(*)) { display: none; }
</style>"""


def widgets() -> Any:
    """Return the module ipywidgets where somebody may touch one, else None.

    Nobody may where a runner executes the lesson (`natsdemo run` says so), or ipywidgets is not installed.
    """
    if os.environ.get("NATSDEMO_HEADLESS") == "1":
        return None
    try:
        return importlib.import_module("ipywidgets")
    except ImportError:
        return None


def show(still: dict[str, Any], metadata: dict[str, Any], widget: Any) -> None:
    """Display a still, and the live widget, if there is one, as an output of its own that takes the still's place."""
    if widget is None:
        display(still, metadata=metadata, raw=True)
        return
    html = f'<div class="natsdemo-still">{still["text/html"]}</div>{_RULES}'
    display(still | {"text/html": html}, metadata=metadata, raw=True)
    display({_WIDGET: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}, raw=True)
