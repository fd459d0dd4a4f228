"""`python -m heartstream`."""

from heartstream.cli import main

main()
