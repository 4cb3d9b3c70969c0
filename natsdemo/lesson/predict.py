"""Predictions: the reader bets before the run, and is answered by what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..live import widgets
from .look import GOOD, NOTE, WARN, prose, show


class Prediction:
    """A question with its options; `answer` is what the reader has chosen, None while nothing is.

    Where widgets live, a click chooses; everywhere else it reads as a list, and the lesson goes on without an answer.
    """

    def __init__(self, question: str, options: Sequence[str]) -> None:
        self.question = question
        self.options = list(options)
        self.answer: str | None = None
        self._widget: Any = None

    def choose(self, option: str) -> None:
        """Bet on an option, as a click does. Raises `ValueError` if it is none of them."""
        if option not in self.options:
            raise ValueError(f"{option!r} is none of the options: {', '.join(map(repr, self.options))}.")
        self.answer = option

    def reveal(self, observed: str, because: str) -> None:
        """Hold the reader's answer against what was observed, and say why it came out so."""
        if self.answer is None:
            verdict, colour = f"Observed: {observed}.", NOTE
        elif self.answer == observed:
            verdict, colour = f"You said “{self.answer}”, and so it is.", GOOD
        else:
            verdict, colour = f"You said “{self.answer}”; observed: {observed}.", WARN
        because = because[:1].upper() + because[1:]
        show(
            f"{verdict} {because}",
            f'<div style="border-left:4px solid {colour};padding:2px 10px"><b>{prose(verdict)}</b> '
            f"{prose(because)}</div>",
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        items = "".join(f"<li>{prose(option)}</li>" for option in self.options)
        bundle = {
            "text/plain": "\n".join([f"Predict: {self.question}", *(f"  ○ {option}" for option in self.options)]),
            "text/html": f'<div style="border-left:4px solid {NOTE};padding:2px 10px"><b>Predict.</b> '
            f'{prose(self.question)}<ul style="list-style:circle">{items}</ul></div>',
        }
        if widget := self._view():
            bundle = widget._repr_mimebundle_() | bundle
        return bundle

    def _view(self) -> Any:
        """The question with a button for each option, where there is somebody to press it."""
        ipywidgets = widgets()
        if ipywidgets and self._widget is None:
            buttons = ipywidgets.ToggleButtons(options=self.options, value=None, style={"button_width": "auto"})
            buttons.observe(lambda change: self.choose(change["new"]), names="value")
            title = ipywidgets.HTML(f"<b>Predict.</b> {prose(self.question)}")
            self._widget = ipywidgets.VBox([title, buttons])
        return ipywidgets and self._widget


def predict(question: str, options: Sequence[str]) -> Prediction:
    """Ask the reader to bet before the run; end the cell with it, and `reveal` after the run.

    Offer the common wrong answer. It never waits: a lesson that runs by itself goes on without an answer.
    """
    return Prediction(question, options)
