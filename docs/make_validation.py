"""Write docs/validation.md: what hstcube is measured against that it did not make itself.

make validation        every script in docs/validation, and the page
"""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TOP = """# Validation: scenes, operators and noise that the package did not make

Made by `make validation` at {commit}, in {minutes:.0f} minutes. Each part is what a script prints.

![Fluxes, colours at the rim and errors of ten made-up fields](images/truth.png)

Ten fields of `hstcube demo` against their truth (`docs/make_truth.py`), a dot each. Left: the flux
in the mask; bars: the predicted error of the mean. Middle: the colour of the mask's outermost
pixels, as hstcube makes it and as in 2022. Right: errors of F160W, with noise taken as white and
measured. Grey: 0.2 % of the flux, 5 % of the error.
"""


def main() -> None:
    """Run the scripts, and write the page."""
    start, parts = time.monotonic(), []
    for script in sorted((HERE / "validation").glob("*.py")):
        said = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
        run = [sys.executable, str(script)]
        shown = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        parts.append(f"\n## {script.stem}\n\n{said}\n\n```\n{shown.rstrip()}\n```\n")
    told = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
    minutes = (time.monotonic() - start) / 60
    page = TOP.format(commit=commit, minutes=max(minutes, 1)) + "".join(parts)
    (HERE / "validation.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
