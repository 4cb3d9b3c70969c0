"""Who looks: somebody who can click, or nobody but a file that is read later."""

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from IPython.display import display

from natsdemo.figures import PALETTE, Picture

_HERE = Path(__file__).parent
_WIDGET = "application/vnd.jupyter.widget-view+json"

# Where the widget lives, its still is not needed. Where it does not live any more (the notebook was opened again, the
# kernel is a new one), JupyterLab has a line of error text in its place, which says less than the still.
_RULES = """<style>
.jp-OutputArea:has(.natsdemo-live) .natsdemo-still { display: none; }
.jp-OutputArea:has(.natsdemo-still) .jp-OutputArea-output.jupyter-widgets:not(:has(*)) { display: none; }
</style>"""


class View(ABC):
    """A picture that follows by itself, and has a still for where it cannot."""

    @property
    @abstractmethod
    def still(self) -> Picture:
        """What it shows now, as a picture."""

    @abstractmethod
    def widget(self) -> Any:
        """The widget, where there is somebody to look at it, else None."""

    def __repr__(self) -> str:
        return self.still.alt

    def _ipython_display_(self) -> None:
        show(*self.still._repr_mimebundle_(), widget=self.widget())


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


def front(name: str, hear: Callable[[Any, dict[str, Any], Any], None], **state: Any) -> Any:
    """Make the widget whose browser side is `name`.js, beside this file, or None where nobody could look at it.

    `hear(widget, message, buffers)` is called with what the browser says; `state` (dicts and bytes) and the palette are
    what the browser knows from the beginning.
    """
    if widgets() is None:
        return None
    import anywidget  # here, since it takes a tenth of a second: only who looks pays for it
    import traitlets

    state["palette"] = {half: dict(roles) for half, roles in PALETTE.items()}
    kinds = {key: traitlets.Bytes() if isinstance(value, bytes) else traitlets.Dict() for key, value in state.items()}
    synced = {key: kind.tag(sync=True) for key, kind in kinds.items()}
    files = {"_esm": _HERE / f"{name}.js", "_css": _HERE / f"{name}.css"}
    widget = type(name.title(), (anywidget.AnyWidget,), files | synced)(**state)
    widget.add_class("natsdemo-live")
    widget.on_msg(hear)
    return widget


def show(still: dict[str, Any], metadata: dict[str, Any], widget: Any) -> None:
    """Display a still, and the live widget, if there is one, as an output of its own that takes the still's place."""
    if widget is None:
        display(still, metadata=metadata, raw=True)
        return
    html = f'<div class="natsdemo-still">{still["text/html"]}</div>{_RULES}'
    display(still | {"text/html": html}, metadata=metadata, raw=True)
    display({_WIDGET: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}, raw=True)
