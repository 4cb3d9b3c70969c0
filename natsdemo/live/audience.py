"""Is there somebody who could click?"""

import os


def headless() -> bool:
    """Whether a runner executes the lesson, so that there is nobody to click (`natsdemo run` says so)."""
    return os.environ.get("NATSDEMO_HEADLESS") == "1"
