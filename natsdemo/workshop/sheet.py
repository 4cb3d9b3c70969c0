"""A sheet for each reader: what to do, and the ticket itself, in one page that needs nothing else."""

import base64
import html

from .ticket import Ticket

STYLE = """
body { font: 17px/1.5 system-ui, sans-serif; max-width: 42em; margin: 2em auto; padding: 0 1em }
:root { color-scheme: light dark }
pre { padding: .6em 1em; background: #8882 }
"""


def sheet(ticket: Ticket) -> str:
    """Return the page for the reader who owns this ticket; it is as secret as the ticket."""
    file = f"{html.escape(ticket.name)}.json"
    data = base64.b64encode(ticket.text.encode()).decode()
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Workshop: {html.escape(ticket.name)}</title><style>{STYLE}</style>
<h1>Your seat: {html.escape(ticket.name)}</h1>
<ol>
<li>Have natsdemo on your machine: in a clone of it, run
<pre>make venv</pre></li>
<li>Save your ticket, <a download="{file}" href="data:application/json;base64,{data}">{file}</a>, into the clone.</li>
<li>Take your seat:
<pre>.venv/bin/natsdemo join {file}</pre>
JupyterLab opens with the first lesson. Ctrl-C ends it.</li>
</ol>
<p>If the teacher may see how far you are, take your seat with
<pre>.venv/bin/natsdemo join {file} --report</pre>
Then the teacher is told which lesson you are in, which of its claims held, and how its exercises went: never your code,
nor your messages. Without it, only whether you are connected can be seen.</p>
<p>You work on the server at {html.escape(ticket.where)}, in an account that is yours alone: nobody else
in the room can see your messages, nor you theirs. Your lessons share it: shut down the kernel of one before you open
the next. Lessons that kill or configure their server start one of their own on your machine.</p>
<p>Your ticket is as good as a password: keep it for yourself.</p>
</html>
"""
