"""python -m cistern_tools: the same as the `cistern` command."""

from cistern_tools.cli import main

main()
