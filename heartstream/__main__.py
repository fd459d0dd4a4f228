"""The command `heartstream`, also as `python -m heartstream`."""

import sys


def main() -> None:
    """Run the command. Ctrl-C ends it with one line even while its modules are imported."""
    try:
        from heartstream.cli import main as run  # noqa: PLC0415  # see above

        run()
    except KeyboardInterrupt:
        sys.stderr.write("\nheartstream: interrupted\n")
        raise SystemExit(130) from None  # INTERRUPTED, which is not imported yet


if __name__ == "__main__":
    main()
