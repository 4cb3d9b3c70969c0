"""Pictures of a History: a function each, that takes one and gives a `Picture`.

The rules of this module:

- A figure reads a History and nothing else; a verdict may point at what to highlight.
- Nothing is global: no pyplot, no rcParams of the reader's are touched, no style is left behind.
- A picture is a PNG on a card of its own, never transparent, and reads on a light page, a dark one and a projector.
- The same is there in words (`alt`) and in numbers (`table`), made from the same values.
- Subjects, payloads and names are hostile: escaped, cut, and never interpreted.
- What a picture leaves out is counted on it; what is not to scale says so.
"""

from .arrivals import arrivals
from .bytes_on_wire import bytes_on_wire
from .clusters import clusters
from .completions import completions
from .flow import flow
from .funnel import funnel
from .gathered import gathered
from .gauges import gauges
from .holders import holders
from .journeys import journeys
from .lamport import lamport
from .latency import latency
from .layout import Arrow, Diagram, Lifeline, Mark, lamport_layout
from .lives import lives
from .matrix import matrix
from .outstanding import outstanding
from .palette import PALETTE, STYLE
from .percentiles import percentiles
from .picture import Picture
from .rates import rates
from .sequence import sequence_numbers
from .shares import shares
from .side_by_side import side_by_side
from .spread import spread
from .states import states
from .strips import strips
from .timeline import timeline
from .topology import topology
from .wiring import wiring

__all__ = [
    "PALETTE",
    "STYLE",
    "Arrow",
    "Diagram",
    "Lifeline",
    "Mark",
    "Picture",
    "arrivals",
    "bytes_on_wire",
    "clusters",
    "completions",
    "flow",
    "funnel",
    "gathered",
    "gauges",
    "holders",
    "journeys",
    "lamport",
    "lamport_layout",
    "latency",
    "lives",
    "matrix",
    "outstanding",
    "percentiles",
    "rates",
    "sequence_numbers",
    "shares",
    "side_by_side",
    "spread",
    "states",
    "strips",
    "timeline",
    "topology",
    "wiring",
]
