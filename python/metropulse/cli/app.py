"""The group of commands and the entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from metropulse.cli import collect, engines, export, history, ingest, loads, operations, rejected, rollup, verbs
from metropulse.cli.failure import EXIT_CODES, fail, print_error, stop_on_terminate
from metropulse.cli.target import Target, target_options
from metropulse.exceptions import CancelledError, ConfigError

__all__ = ["cli", "main"]

_EPILOG = """\b
Examples:
  metropulse demo                                  three generated days, end to end
  metropulse generate --start 2024-05-01 --days 3  raw days into the lake
  metropulse run --date 2024-05-01                 one day, all steps
  metropulse query --mart "select count() from mart_route_hourly"

\b
Where things are: --state DIR for the embedded engines (the default), or --lake,
--warehouse and --mart, or the environment: METROPULSE_STATE, METROPULSE_LAKE,
METROPULSE_TIME_ZONE, METROPULSE_POSITIONS, PG_URL PG_USER PG_PASSWORD,
MINIO_ENDPOINT MINIO_ACCESS_KEY MINIO_SECRET_KEY MINIO_SECURE, CH_JDBC_URL
CH_USER CH_PASSWORD.

\b
Exit codes: 0 done, 1 defect, 2 usage or configuration, 3 not found, 4 schema,
5 data, 6 quality check failed, 7 conflict, 8 storage, 9 database, 130 Ctrl-C.
"""


class Verbs(click.Group):
    """Commands in the order of a day, rather than of the alphabet."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names in the order they were added."""
        return list(self.commands)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(package_name="metropulse", message="%(prog)s %(version)s")
@target_options
def cli(_target: Target) -> None:
    """Raw transport data to a warehouse with history to an hourly mart.

    The options below may stand before or after the command.
    """


for command in (
    *verbs.COMMANDS,
    *collect.COMMANDS,
    *export.COMMANDS,
    *ingest.COMMANDS,
    rollup.rollup_hourly,
    *loads.COMMANDS,
    *history.COMMANDS,
    *operations.COMMANDS,
    *rejected.COMMANDS,
    *engines.COMMANDS,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code.

    Args:
        arguments: The arguments; those of the process when None.
    """
    stop_on_terminate()
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        result = cli.main(words, prog_name="metropulse", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        if as_json:
            print_error(CancelledError("stopped; nothing of the step that ran was published"))
        print("stopped", file=sys.stderr)
        sys.exit(EXIT_CODES["cancelled"])
    except click.ClickException as error:
        if as_json:
            print_error(ConfigError(error.format_message()))
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output left (`metropulse ... | head`): nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        sys.exit(fail(error, as_json=as_json, debug="--debug" in words))
    sys.exit(result if isinstance(result, int) else 0)
