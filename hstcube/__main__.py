"""``python -m hstcube``, and what the command ``hstcube`` starts."""

import os
import signal
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line; Ctrl-C is heeded from the first moment, while modules are loaded."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    from hstcube.fleet.start import one_thread

    one_thread()  # before numpy is loaded
    from hstcube.cli.app import main as begin

    begin()


def _interrupted(*_: object) -> NoReturn:
    os.write(2, b"interrupted; nothing was begun\n")
    os._exit(130)


if __name__ == "__main__":
    main()
