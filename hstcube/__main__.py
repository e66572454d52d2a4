"""``python -m hstcube``."""

from hstcube.cli.app import main

main()
