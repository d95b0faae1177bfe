"""The command line: one subcommand a benchmark, each a module with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
import sys

try:
    from benchmarks import agent, capacity, core, erasure, linkage, peers, pii, retention, rights, servers
except ModuleNotFoundError as exc:
    sys.exit(f"the benchmarks need the package {exc.name}: run `pip install -e '.[test]'`")

SUBCOMMANDS = {
    "core": core,
    "servers": servers,
    "peers": peers,
    "capacity": capacity,
    "pii": pii,
    "retention": retention,
    "rights": rights,
    "agent": agent,
    "linkage": linkage,
    "erasure": erasure,
}


def main() -> int:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    commands = parser.add_subparsers(required=True, metavar="benchmark")
    for name, module in SUBCOMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
