"""natsdemo teaches messaging by experiment, on a real nats-server.

      the reader's cells (plain nats-py)
            |  bytes
            v
           Tap  -----bytes----->  nats-server(s)         the world: server, tap, load
            |
            v  what passed, and when
         History  <--- faults, kills, restarts, notes are events in it too
            |
       +----+-----------+-------------+
       v                v             v
    guarantees       figures      live views             the reading side: values in, verdicts and pictures out
       \\________________|_____________/
                        |
            lesson, slides, cli                          the glue: what notebooks and people call

Import what you need from where it lives: `from natsdemo.server import Server`, `from natsdemo.tap import Tap`,
`from natsdemo import faults`. This package itself imports nothing, so that each part costs no more than it needs.
"""

__version__ = "0.1.0"
