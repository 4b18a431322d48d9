"""The `cistern` command; the same as python -m cistern_tools."""

import sys

from cistern_tools import INTERRUPTED


def main() -> None:
    """Run the command that the arguments name."""
    try:
        # Loading all commands takes a moment, in which Ctrl-C may come, too.
        from cistern_tools.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
