"""`python -m local run|demo|clean`: what `make run`, `make demo` and `make clean` call."""

import argparse
import shutil
import signal
import sys
from pathlib import Path

from local.artifacts import PROJECT
from local.errors import LocalStackError
from local.stack import Options, Stack, StackInfo, stop_leftovers
from local.state import owned

STATE_DIR = PROJECT / ".local"
DEFAULT_PORT = 4566
INTERRUPTED = 130

BANNER = """
The service runs. Ctrl-C stops it; what it has done stays in {state_dir} (`make clean` forgets it).

  API            {info.api_url}
  Page           {info.api_url}/ (asks for the token)
  Images         {info.image_base_url}/images/…
  Token          {info.token}
  Webhook secret {info.webhook_secret}
  Drop folder    s3://{info.bucket}/{info.drop_prefix} at {info.endpoint_url} (key and secret: test)
  Postgres       {info.database_url}
  All of it      {state_dir}/stack.json

  curl -H 'Authorization: Bearer {info.token}' -F file=@products.csv {info.api_url}/upload
"""


def main() -> int:
    """Run the command of the command line; its exit code."""
    arguments = _parse_arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        return int(arguments.command(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
    except LocalStackError as error:
        print(error, file=sys.stderr)
        return 1


def run(arguments: argparse.Namespace) -> int:
    """Run the stack until a signal stops it, which is how it ends well."""
    options = Options(
        port=arguments.port,
        cdn_port=arguments.port + 1 if arguments.port else 0,
        private_origins=[origin for origin in arguments.private_origins.split(",") if origin],
        webhook_time_scale=arguments.webhook_time_scale,
        default_webhook_url=arguments.default_webhook_url,
    )
    try:
        with Stack.start(STATE_DIR, options) as stack:
            _print_banner(stack.info)
            stack.wait()
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


def demo(_arguments: argparse.Namespace) -> int:
    """Run the stack for one sample CSV."""
    from local.demo import run_demo  # noqa: PLC0415 `run` needs none of it

    return run_demo()


def clean(_arguments: argparse.Namespace) -> int:
    """Forget all state, and stop what a killed stack left behind."""
    with owned(STATE_DIR):
        stop_leftovers(STATE_DIR)
        shutil.rmtree(STATE_DIR)
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help=run.__doc__)
    runs.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the API; images have the next")
    runs.add_argument("--private-origins", default="", help="host:port,… that may be private")
    runs.add_argument("--webhook-time-scale", type=float, default=1.0, help="multiplies retry delays")
    runs.add_argument("--default-webhook-url", default="", help="where jobs from dropped files report")
    runs.set_defaults(command=run)
    commands.add_parser("demo", help=demo.__doc__).set_defaults(command=demo)
    commands.add_parser("clean", help=clean.__doc__).set_defaults(command=clean)
    return parser.parse_args()


def _interrupt(_signal_number: int, _frame: object) -> None:
    """The first signal stops the stack in order; further ones must not cut that short."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _print_banner(info: StackInfo) -> None:
    print(BANNER.format(info=info, state_dir=STATE_DIR.relative_to(Path.cwd())), flush=True)


if __name__ == "__main__":
    sys.exit(main())
