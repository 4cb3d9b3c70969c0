"""Is there somebody who could click?"""

import importlib
import os
from typing import Any


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
