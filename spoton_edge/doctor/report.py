"""One file for a bug report: versions, findings, the effective site, the end of the journal; no secrets."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

from spoton_edge import __version__, config, credentials
from spoton_edge.capture.source import redact
from spoton_edge.doctor.findings import Finding
from spoton_edge.errors import CredentialError, SpotOnError, StateError

JOURNAL_LINES = 300
PACKAGES = ("av", "lap", "numpy", "onnx", "onnxruntime", "opencv-python-headless", "pydantic", "pyyaml", "pyzmq")


def write_report(path: Path, site: Path, findings: Iterable[Finding]) -> None:
    """Write the file, for its owner alone.

    Raises:
        StateError: it cannot be written.
    """
    sections = {
        "versions": _versions(),
        "findings": "\n".join(finding.line() for finding in findings),
        "site": _site(site),
        "service": _output("systemctl", "status", "--no-pager", "--lines=0", "spoton-edge*"),
        "journal": _output("journalctl", "--no-pager", f"--lines={JOURNAL_LINES}", "--unit=spoton-edge*"),
    }
    text = "".join(f"== {name} ==\n{body.strip()}\n\n" for name, body in sections.items())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(without_secrets(text, site))
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}; name another file") from None


def without_secrets(text: str, site: Path) -> str:
    """The text without logins and queries of URLs, and without every login that the site names, wherever it stands."""
    text = redact(text)
    try:
        names = credentials.names_in(camera.source for camera in config.load(site).cameras)
    except SpotOnError:
        names = []
    for name in names:
        try:
            login = credentials.read(name)
        except CredentialError:
            continue
        for secret in (login, login.partition(":")[2]):
            if secret:
                text = text.replace(secret, "***")
    return text


def _versions() -> str:
    lines = [f"spoton-edge {__version__}", f"Python {platform.python_version()}", platform.platform()]
    with contextlib.suppress(OSError):
        lines.append(platform.freedesktop_os_release().get("PRETTY_NAME", ""))
    for name in PACKAGES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} -")
    return "\n".join(lines)


def _site(path: Path) -> str:
    try:
        return config.effective(config.load(path))
    except SpotOnError as error:
        return str(error)


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
