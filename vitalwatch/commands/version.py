"""``vitalwatch version``: what to write into a report of a fault."""

import argparse
import importlib.metadata
import platform
import sys

import vitalwatch


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "version",
        help="show the versions of VitalWatch and of what its results depend on",
        description="Show the versions of VitalWatch and of what its results depend on.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print one ``name version`` a line."""
    versions = {"vitalwatch": vitalwatch.__version__, "python": platform.python_version()}
    for name in ("numba", "numpy", "torch", "kafka-python", "msgspec"):
        versions[name] = importlib.metadata.version(name)
    sys.stdout.writelines(f"{name} {version}\n" for name, version in versions.items())
    return 0
