"""`local` and `tokens`: what is done within a clone of the repository."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from imagejobs_cli.commands.common import Invocation, writes
from imagejobs_cli.errors import ExitCode
from imagejobs_cli.repository import become_module, run_module

Command = TypeVar("Command", bound=Callable[..., Any])

# What `python -m operations.tokens` ends with.
TOKENS_EXIT_CODES = {0: ExitCode.DONE, 1: ExitCode.REFUSED}


@click.group()
def local() -> None:
    """Run the whole service on this machine.

    This needs a clone of its repository.
    """


@local.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def up(options: tuple[str, ...]) -> None:
    """Run the service until Ctrl-C, as `make run` does; options are those of `python -m local run`."""
    become_module("local", ["run", *options])


@local.command()
def demo() -> None:
    """One sample CSV through the whole service, as `make demo` does."""
    become_module("local", ["demo"])


@click.group()
def tokens() -> None:
    """Say who may call a stack.

    The local one, or a deployed one with AWS's own environment; from a clone of the repository.
    """


def _of_stack(command: Command) -> Command:
    return click.option("--stack-name", metavar="NAME", help="Of a deployed stack, found with AWS's environment.")(
        writes(command)
    )


@tokens.command()
@click.argument("name")
@click.option("--daily-images", type=click.IntRange(min=1), help="How many images a day it may have compressed.")
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="How many requests it may send a minute.")
@_of_stack
@click.pass_obj
def create(
    invocation: Invocation,
    name: str,
    daily_images: int | None,
    requests_per_minute: int | None,
    stack_name: str | None,
) -> ExitCode:
    """Let the caller NAME in, and show its token and webhook secret, once."""
    limits = {"--daily-images": daily_images, "--requests-per-minute": requests_per_minute}
    options = [f"{option}={value}" for option, value in limits.items() if value is not None]
    return _tokens(invocation, stack_name, ["create", *options, "--", name])


@tokens.command("list")
@_of_stack
@click.pass_obj
def list_tokens(invocation: Invocation, stack_name: str | None) -> ExitCode:
    """List all tokens by their ids."""
    return _tokens(invocation, stack_name, ["list"])


@tokens.command()
@click.argument("token_id")
@_of_stack
@click.pass_obj
def revoke(invocation: Invocation, token_id: str, stack_name: str | None) -> ExitCode:
    """Let the token TOKEN_ID in no more."""
    return _tokens(invocation, stack_name, ["revoke", "--", token_id])


@tokens.command()
@click.argument("token_id")
@_of_stack
@click.pass_obj
def rotate_secret(invocation: Invocation, token_id: str, stack_name: str | None) -> ExitCode:
    """Make a new webhook secret for the token TOKEN_ID; the one before stays valid beside it."""
    return _tokens(invocation, stack_name, ["rotate-secret", "--", token_id])


def _tokens(invocation: Invocation, stack_name: str | None, command: list[str]) -> ExitCode:
    options = ["--stack-name", stack_name] if stack_name else []
    if invocation.output.as_json:
        options.append("--json")
    code = run_module("operations.tokens", [*options, *command])
    return TOKENS_EXIT_CODES.get(code, ExitCode.UNREACHABLE)
