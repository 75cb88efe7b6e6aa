"""``vitalwatch config show``: which settings are in force, and why."""

import argparse
import sys

from vitalwatch import config

EPILOG = """\
examples:
  vitalwatch config show > vitalwatch.toml      a file to start from, with every setting
  vitalwatch config show --origin               where each value comes from
  VITALWATCH_KAFKA_PASSWORD=… vitalwatch config show --config vitalwatch.toml

A flag beats the environment, the environment beats the file, the file beats the default.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "config", help="show the settings in force", description="Settings and their origins."
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="print the settings in force as a TOML file, secrets masked",
        description="Print the settings in force as a TOML file, secrets masked.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    show.add_argument("--origin", action="store_true", help="say where each value comes from")
    config.add_flags(show, *config.SECTIONS)
    show.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings."""
    sys.stdout.write(config.show(config.resolve(arguments), origin=arguments.origin))
    return 0
