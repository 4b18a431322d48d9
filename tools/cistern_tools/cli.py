"""The `cistern` command."""

import typer

app = typer.Typer(
    no_args_is_help=True, help="Cistern: capture, keep, sync.", pretty_exceptions_enable=False
)


@app.callback()
def main():
    """Cistern's host tools."""
