"""Certificates for tests."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificate(directory: Path) -> None:
    """A self-signed certificate for 127.0.0.1, as cert.pem and key.pem."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")),
            *("-days", "2", "-subj", "/CN=clew", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
