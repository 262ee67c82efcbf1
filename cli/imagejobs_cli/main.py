"""`imagejobs`: the entry point, and what becomes of errors."""

import sys
from typing import Any

import click

from imagejobs_cli.commands.common import Invocation
from imagejobs_cli.commands.jobs import cancel, deliveries, redeliver, status
from imagejobs_cli.commands.repository import local, tokens
from imagejobs_cli.commands.results import results
from imagejobs_cli.commands.submit import preflight, retry, submit
from imagejobs_cli.errors import ExitCode, Interrupted, Unusable

# What a shell reports of a program that was stopped writing into a closed pipe, 128 + SIGPIPE.
PIPE_CLOSED = 141

EXIT_CODES = """\b
Exit codes:
  0    done, all images of the job too
  1    the job has failed, or was cancelled
  2    wrong usage, settings or file
  3    the job has ended, with failed images or rows
  4    the API refused it: a wrong sheet, an unknown job, a quota
  5    no answer, or the --timeout is over
  130  interrupted; the job goes on
"""


class Commands(click.Group):
    """The group of all commands: turns what stops any of them into its exit code."""

    def invoke(self, context: click.Context) -> Any:  # noqa: ANN401 as click
        """Run the command that the line names.

        Raises:
            Interrupted, Unusable: In place of an exception of Python.
        """
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            raise Interrupted("Interrupted.") from None
        except BrokenPipeError:
            sys.stdout = None  # nothing may be flushed into the pipe at exit
            return PIPE_CLOSED
        except KeyError as error:
            raise Unusable(f"The API's answer lacks {error}: it is of another version than this command.") from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise Unusable(f"{where}{error.strerror or 'the file cannot be used'}.") from None


@click.group(cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="imagejobs")
def commands() -> None:
    """Compress the images that a CSV of products names, by the Image Processing API."""


for command in (submit, status, results, retry, cancel, preflight, redeliver, deliveries, tokens, local):
    commands.add_command(command)


def main() -> None:
    """Run the command line; ends the process."""
    invocation = Invocation()
    try:
        code = commands.main(prog_name="imagejobs", obj=invocation, standalone_mode=False)
    except click.ClickException as error:
        invocation.output.error(error)
        code = error.exit_code
    except click.Abort:
        code = ExitCode.INTERRUPTED
    sys.exit(code or ExitCode.DONE)
