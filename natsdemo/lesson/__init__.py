"""What a notebook imports: open a lab, predict, run plain nats-py, look, claim, exercise, close.

    lab = await open_lab()                                  # a server, a Tap before it, a History
    nc = await nats.connect(lab.url, name="alice")          # from here on plain nats-py
    bet = predict("Who hears it?", ["everybody", "nobody"])
    bet.reveal("nobody", because="nobody had subscribed yet.")
    claim("Nobody heard it.", len(lab.history.deliveries) == 0)
    await lab.close()

It hides plumbing (servers, recording, waiting) and never NATS.
"""

from .claims import Claim, ClaimFailed, claim, needs, what_we_proved
from .lab import Lab, barrier, open_lab, until
from .predict import Prediction, predict
from .verdicts import what_was_kept

__all__ = [
    "Claim",
    "ClaimFailed",
    "Lab",
    "Prediction",
    "barrier",
    "claim",
    "needs",
    "open_lab",
    "predict",
    "until",
    "what_was_kept",
    "what_we_proved",
]
