"""The `exporter` binary, called as a user would call it, for the checks in this folder.

Every call starts one process, so callers may use threads. Nothing here knows what a right answer is.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_EXPORTER = ROOT / "target" / "release" / "exporter"
# Longer than any network here takes, so that a hanging process is a failure and not a stopped pipeline.
TIMEOUT_S = 1800


class ExporterError(Exception):
    """A call that did not do what it was asked; the message has the command's last words."""


@dataclass(frozen=True)
class Finished:
    """A process that ended."""

    status: int
    stdout: str
    stderr: str
    seconds: float
    peak_rss_bytes: int

    def words(self) -> str:
        """The beginning of what it said, for error messages."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return f"exit {self.status}: " + (" / ".join(line.strip() for line in lines[:3] if line.strip()) or "no output")


@dataclass(frozen=True)
class Problem:
    """One thing that `exporter check` refuses."""

    node: str
    op: str
    attribute: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.op}.{self.attribute}" if self.attribute else self.op
        return f"{where}: {self.reason}"


def run_process(command: list[str]) -> Finished:
    """Runs a command to its end. Output goes through files, as nobody reads pipes while its memory is watched."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        rss_bytes = wait(process)
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        text = [file.read().decode("utf-8", "replace") for file in (out, err)]
    return Finished(process.returncode, text[0], text[1], seconds, rss_bytes)


def wait(process: subprocess.Popen[bytes]) -> int:
    """Peak resident bytes of a process, watched to its end; one over its time is ended.

    What wait4 tells would be the larger one of its peak and ours, for a process begins as a copy of this one.
    """
    deadline = time.monotonic() + TIMEOUT_S
    pause, peak = 0.001, 0
    while process.poll() is None:
        peak = max(peak, peak_rss_bytes(process.pid))
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
    return peak


def peak_rss_bytes(pid: int) -> int:
    """Zero for a process that has just ended, and on systems without /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


class Exporter:
    """The binary at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def missing(self) -> str | None:
        """Why the binary cannot be used, if it cannot."""
        if os.access(self.path, os.X_OK) and self.path.is_file():
            return None
        return f"{self.path}: no such program; cargo build --release -p staticnet-exporter makes it"

    def call(self, *arguments: str | Path) -> Finished:
        """One call, whatever its exit status."""
        return run_process([str(self.path), *map(str, arguments)])

    def must(self, *arguments: str | Path) -> Finished:
        """One call that has to succeed."""
        done = self.call(*arguments)
        if done.status != 0:
            raise ExporterError(f"exporter {arguments[0]}: {done.words()}")
        return done

    def check(self, model: Path, binds: dict[str, Path] | None = None) -> list[Problem]:
        """What is not supported; empty where everything is."""
        done = self.call("check", model, "--json", *bind_arguments(binds or {}))
        report = last_json(done)
        supported, problems = report.get("supported"), report.get("problems", [])
        if done.status not in (0, 1) or supported is not (done.status == 0) or supported is bool(problems):
            raise ExporterError(f"exporter check: {done.words()}; supported {supported}, {len(problems)} problem(s)")
        return [read_problem(problem) for problem in problems]

    def compile(self, model: Path, artifact: Path, *options: str | Path, binds: dict[str, Path] | None = None) -> Finished:
        """Compiles a model; `options` such as `--float`."""
        return self.must("compile", model, "-o", artifact, *options, *bind_arguments(binds or {}))

    def run(self, artifact: Path, inputs: list[np.ndarray], n_outputs: int, folder: Path) -> list[np.ndarray]:
        """Runs an artifact on arrays as the ONNX model takes them; arrays in between are files in `folder`."""
        sources = [folder / f"in_{i}.npy" for i in range(len(inputs))]
        results = [folder / f"out_{i}.npy" for i in range(n_outputs)]
        for path, array in zip(sources, inputs):
            np.save(path, array)
        for path in results:
            path.unlink(missing_ok=True)
        self.must("run", artifact, *sources, *(argument for path in results for argument in ("--output", path)))
        absent = [path.name for path in results if not path.is_file()]
        if absent:
            raise ExporterError(f"exporter run: exit 0 without {', '.join(absent)}")
        return [np.load(path, allow_pickle=False) for path in results]

    def verify(self, model: Path, artifact: Path, *options: str | Path) -> dict[str, Any]:
        """The report of `exporter verify --json`, whether or not the artifact is within its bounds."""
        done = self.call("verify", model, artifact, "--json", *options)
        report = last_json(done)
        if done.status not in (0, 1) or report.get("ok") is not (done.status == 0):
            raise ExporterError(f"exporter verify: {done.words()}")
        return report


def bind_arguments(binds: dict[str, Path]) -> list[str]:
    """`--bind NAME=FILE` for each input that becomes a constant."""
    return [argument for name, path in binds.items() for argument in ("--bind", f"{name}={path}")]


def last_json(done: Finished) -> dict[str, Any]:
    """The object on the last line of stdout."""
    lines = done.stdout.strip().splitlines()
    try:
        value = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        raise ExporterError(f"no JSON on the last line of stdout; {done.words()}") from None
    if not isinstance(value, dict):
        raise ExporterError(f"the last line of stdout is not an object: {lines[-1][:80]}")
    return value


def read_problem(problem: dict[str, Any]) -> Problem:
    """A problem must name an operator and a reason: a bare "unsupported" helps nobody."""
    fields = {name: str(problem.get(name) or "") for name in ("node", "op", "attribute", "reason")}
    if not fields["op"] or not fields["reason"]:
        raise ExporterError(f"exporter check: a problem without operator or reason: {json.dumps(problem)}")
    return Problem(**fields)
