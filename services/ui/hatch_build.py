"""Builds the web UI into the distributions. Where it is built already, that is kept; without npm
there is a warning, or with CLEW_UI=required an error."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebUi(BuildHookInterface[Any]):
    """The hook, for wheels and source distributions."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page, unless the installation is editable or there is one."""
        root = Path(self.root)
        page = root / "services/clew/web/static/index.html"
        if version == "editable" or page.exists():
            return
        npm = shutil.which("npm")
        if npm is not None:
            for command in (("ci",), ("run", "build")):
                subprocess.run([npm, *command], cwd=root / "services/ui", check=True)
            return
        advice = "the web UI is left out: install Node.js 20.19 or newer, with npm, to build it"
        if os.environ.get("CLEW_UI") == "required":
            raise RuntimeError(advice)
        self.app.display_warning(advice)
