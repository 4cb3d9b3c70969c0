"""What moves while the reader plays: controls that act on the real system, and a picture that follows.

Whatever is live has a still that tells the same story, for GitHub, for a PDF, and for a reader without a kernel. The
controls know nothing of servers or lessons: each is given a function to call.
"""

from .audience import widgets
from .controls import Button, Dial, Panel, Readout, Switch, button, dial, fault, panel, process, verdict
from .dashboard import Dashboard, Reading, dashboard
from .flow import Flow, flow
from .vitals import vitals

__all__ = [
    "Button",
    "Dashboard",
    "Dial",
    "Flow",
    "Panel",
    "Reading",
    "Readout",
    "Switch",
    "button",
    "dashboard",
    "dial",
    "fault",
    "flow",
    "panel",
    "process",
    "verdict",
    "vitals",
    "widgets",
]
