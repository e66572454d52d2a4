"""A dask cluster of processes that share only the file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ONE_THREAD = ("--nthreads", "1", "--no-dashboard", "--memory-limit", "0")


class Cluster:
    """A scheduler and its workers, each in a process and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers = 0
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        while not (self.file.exists() and self.file.stat().st_size):
            time.sleep(0.1)
        self.address = json.loads(self.file.read_text())["address"]

    def worker(self, *how: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until the scheduler knows it."""
        process = self._start("worker", *(how or ONE_THREAD), **environment)
        self.workers += 1
        import distributed

        with distributed.Client(self.address) as client:
            client.wait_for_workers(self.workers, timeout=60)
        return process

    def _start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        place = self.folder / f"process {len(self.processes)}"
        place.mkdir()
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command, "--scheduler-file", str(self.file)],
                cwd=place, stdout=log, stderr=log, env={**os.environ, **environment},
            )  # fmt: skip
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:  # a nanny that waits for its worker
                process.kill()
                process.wait()
