"""The command line. A command is one function in a module of its own, named in `main`; its docstring is its help."""

import sys
from typing import NoReturn

from natsdemo.server import ServerError


class UserError(Exception):
    """Something that the person at the keyboard can put right; its text is one sentence that says how."""


def main() -> NoReturn:
    """Run the command that was asked for; what a person can put right is one line, never a traceback."""
    try:
        sys.exit(_run(sys.argv[1:] or ["--help"]))
    except (UserError, ServerError) as problem:
        _complain(str(problem), 1)
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("natsdemo"):
            raise
        extra = "cli" if missing.name == "typer" else "lab"
        _complain(f"{missing.name} is not installed: run `pip install 'natsdemo[{extra}]'`.", 1)


def _run(arguments: list[str]) -> int:
    # Jupyter's jsonschema would compile a grammar for a format that nothing here uses: seconds, at every start.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

    import typer  # here, since the core of natsdemo does without it

    from . import bench, binder, claims, doctor, join, lab, present, run, serve, slides, tap, workshop

    app = typer.Typer(
        help="Messaging taught by experiment, on a real nats-server.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # To add a command, write its module and add a line here.
    app.command("lab")(lab.lab)
    app.command("present")(present.present)
    app.command("doctor")(doctor.doctor)
    app.command("server")(serve.server)
    app.command("run")(run.run)
    app.command("claims")(claims.claims)
    app.command("tap")(tap.tap)
    app.command("bench")(bench.bench)
    app.command("binder-link")(binder.binder_link)
    app.command("workshop")(workshop.workshop)
    app.command("join")(join.join)
    app.add_typer(slides.app, name="slides")
    app.command("draw")(tap.draw)
    app.command("judge")(tap.judge)

    # A command line that makes no sense. (Its type is click's or typer's own, as typer's version has it.)
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    try:
        return app(arguments, prog_name="natsdemo", standalone_mode=False) or 0
    except usage_error as problem:
        context = getattr(problem, "ctx", None)
        command = context.command_path if context else "natsdemo"
        what = problem.format_message().rstrip(".")  # type: ignore[attr-defined]
        _complain(f"{what}: see `{command} --help`.", 2)


def _complain(text: str, code: int) -> NoReturn:
    print(f"natsdemo: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(code)
