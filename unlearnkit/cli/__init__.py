"""The command ``unlearnkit``: one file a command, each imported only when it is needed. Imports no torch.

Exit codes: 0 done, 1 a bug (with a traceback; please report it) or a certificate that 'verify' refuses, 2 something the
user can fix (one line), 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version

import click

from unlearnkit.cli.streams import steady_streams
from unlearnkit.errors import ConfigError, Interrupted, Mistakes, UnlearnkitError

__all__ = ["cli", "main"]

_COMMANDS = (
    "run", "sweep", "audit", "measure", "bench", "compare", "apply", "certify", "verify", "sample", "invert", "convert",
    "plugins", "show", "new", "fetch", "doctor", "build-ext", "completion",
)


class _LazyGroup(click.Group):
    """Imports ``unlearnkit.cli.NAME`` when the command NAME is asked for (``build-ext``: ``build_ext``)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"unlearnkit.cli.{cmd_name.replace('-', '_')}").command
        if not any(option.name == "debug" for option in command.params):
            command.params.append(_debug_option())
        return command


def _debug_option() -> click.Option:
    # main() looks for it; it is declared so that it may stand before and after the command's name.
    words = "Show the traceback of an error (as UNLEARNKIT_DEBUG=1 does)."
    return click.Option(["--debug"], is_flag=True, expose_value=False, help=words)


@click.group(
    cls=_LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(version("unlearnkit"), prog_name="unlearnkit")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Make a pre-trained face generator forget a person.

    \b
    unlearnkit run --method guide --generator stylegan2    a first run, about a minute
    unlearnkit run --help                                  with your own checkpoint and photos
    unlearnkit fetch --list                                weight files for real faces
    unlearnkit apply runs/mine/edit.safetensors --base ffhq.pkl --out edited.pkl
    unlearnkit show method                                 list the methods
    unlearnkit new left-ear                                start a plugin of your own
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


cli.params.append(_debug_option())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments or os.environ.get("UNLEARNKIT_DEBUG", "") not in ("", "0")
    try:
        with steady_streams():
            check_arguments(arguments)
            code = cli.main(arguments, prog_name="unlearnkit", standalone_mode=False)
    except (KeyboardInterrupt, click.exceptions.Abort) as stop:
        # click turns the one into the other; a run says in it how to go on.
        click.echo(str(stop) or str(stop.__cause__ or "") or _interrupted(arguments), err=True)
        code = 130
    except Interrupted as stop:
        click.echo(" ".join(str(stop).split()) or "interrupted", err=True)
        code = 130
    except Exception as error:
        line = _line(error, arguments)
        if line is None:
            raise
        if debug:
            traceback.print_exc()
        for text in error.problems if isinstance(error, Mistakes) else (line,):
            click.echo(f"error: {' '.join(text.split())}", err=True)
        code = 2
    raise SystemExit(code if isinstance(code, int) else 0)


def _interrupted(arguments: Sequence[str]) -> str:
    """What is kept after Ctrl-C, by the command: results appear whole at the end, or not at all."""
    command = next((word for word in arguments if word in _COMMANDS), "")
    if command == "bench":
        return "interrupted; finished cases are kept, the same command goes on"
    if command == "run" and any(word.startswith("--resume") for word in arguments):
        return "interrupted; the run is as it was, the same command goes on"
    if command == "run":
        return "interrupted before the run had a folder; nothing was written"
    wholly = ("apply", "audit", "convert", "fetch", "invert", "measure", "sample")
    return "interrupted; nothing was written, the same command begins again" if command in wholly else "interrupted"


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse what is no text, before it gets into settings, manifests and pages, which are UTF-8.

    :raises ConfigError: naming the argument.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"the argument {argument!r} is not valid {sys.getfilesystemencoding()}, and settings and "
                              "reports are UTF-8: rename the file or folder, or make a link to it with a plain name") \
                from None


def _line(error: Exception, arguments: Sequence[str]) -> str | None:
    """The one line that a user reads; None for a bug, which deserves its traceback."""
    if isinstance(error, click.UsageError):
        # click leaves the context out where an option lacks its value.
        guess = next((f"unlearnkit {word}" for word in arguments if word in _COMMANDS), "unlearnkit")
        command = error.ctx.command_path if error.ctx else guess
        text = f"{error.format_message()} (see '{command} --help')"
    elif isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, UnlearnkitError):
        text = str(error) or type(error).__name__
    elif isinstance(error, OSError):
        text = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    elif type(error).__name__ == "OutOfMemoryError":  # torch's; torch itself is not imported here
        text = f"out of memory: {error} Try --device cpu, or a GPU with more memory."
    else:
        return None
    return " ".join(text.split())
