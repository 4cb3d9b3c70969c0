"""What moves while the reader plays: controls that act on the real system, and a picture that follows.

Whatever is live has a still that tells the same story, for GitHub, for a PDF, and for a reader without a kernel. The
controls know nothing of servers or lessons: each is given a function to call.
"""

from .audience import widgets
from .controls import Button, Dial, Panel, Readout, Switch, button, dial, fault, panel, process, verdict
from .flow import Flow, flow

__all__ = [
    "Button",
    "Dial",
    "Flow",
    "Panel",
    "Readout",
    "Switch",
    "button",
    "dial",
    "fault",
    "flow",
    "panel",
    "process",
    "verdict",
    "widgets",
]
