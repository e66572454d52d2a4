"""``python -m hstcube``."""

from hstcube.cli import main

main()
