"""``vitalwatch schema``: JSON Schema of all messages."""

import argparse
import sys

import msgspec

from vitalwatch import messages

EXAMPLES = """\
examples:
  vitalwatch schema > vitalwatch.schema.json    all messages, under $defs
  vitalwatch schema Reading                     one of them, with what it refers to
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    names = [message.__name__ for message in messages.MESSAGES]
    parser = commands.add_parser(
        "schema",
        help="print the JSON Schema of the messages",
        description="Print the JSON Schema (2020-12) of the messages on the topics, generated from "
        "the very types that the program reads and writes them with.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "message", metavar="MESSAGE", nargs="?", choices=names, help=", ".join(names)
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    schema = messages.schemas()
    if arguments.message:
        schema["$ref"] = f"#/$defs/{arguments.message}"
    encoded = msgspec.json.format(msgspec.json.encode(schema), indent=2)
    sys.stdout.write(encoded.decode() + "\n")
    return 0
