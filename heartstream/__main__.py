"""The command `heartstream`, also as `python -m heartstream`."""

from heartstream.terminal.exit_codes import errors_to_exit_codes


def main() -> None:
    """Run the command. Ctrl-C ends it with one line even while its modules are imported."""
    with errors_to_exit_codes():
        from heartstream.cli import main as run  # noqa: PLC0415  # see above

        run()


if __name__ == "__main__":
    main()
