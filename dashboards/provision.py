"""Adds clew's data sources and dashboards to an installed or running Grafana: make grafana

    GRAFANA_URL=… GRAFANA_TOKEN=… make grafana      a running one, over its HTTP API
    GRAFANA_PROVISIONING=DIR make grafana           one that reads its provisioning from DIR

Without either variable, and without the directory where Grafana's packages have it, it explains what to
do. It downloads nothing. docs/grafana.md has the settings.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import httpx
import yaml

from build import documents
from panels import PLUGIN

HERE = Path(__file__).parent
SOURCES, FOLDERS = "datasources/clew.yaml", "dashboards/clew.yaml"
USUAL = Path("/etc/grafana/provisioning")
FOLDER = "clew"

# Values for the files of provisioning/ that the environment does not set.
DEFAULTS = {
    "CLEW_CLICKHOUSE_HOST": "127.0.0.1",
    "CLEW_CLICKHOUSE_PORT": "8123",
    "CLEW_CLICKHOUSE_USER": "default",
    "CLEW_CLICKHOUSE_PASSWORD": "",
    "CLEW_API_URL": "http://127.0.0.1:4319",
    "CLEW_READ_KEY": "",
    "CLEW_DASHBOARDS": str(HERE / "generated"),
}

HOW = f"""\
No Grafana was named, and {USUAL} does not exist.

1. Install Grafana 11.6 or newer, and the ClickHouse plugin:
       grafana cli plugins install {PLUGIN}
   (Without the plugin, the Jaeger data source works alone: trace search and trace view.)
2. Start clew: it serves the ClickHouse protocol on 127.0.0.1:8123.
3. Either   GRAFANA_URL=http://127.0.0.1:3000 GRAFANA_TOKEN=… make grafana
            (a token of a service account with the role Admin)
   or       GRAFANA_PROVISIONING=/path/of/grafana/conf/provisioning make grafana
            and restart Grafana.
"""


def main(environment: Mapping[str, str] = os.environ, usual: Path = USUAL) -> str:
    """Add them; returns what was done. Raises SystemExit with the error."""
    settings = {name: environment.get(name, default) for name, default in DEFAULTS.items()}
    if url := environment.get("GRAFANA_URL"):
        headers = {}
        if token := environment.get("GRAFANA_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        with httpx.Client(base_url=url, headers=headers, timeout=30) as grafana:
            try:
                return into_running(grafana, settings)
            except httpx.HTTPError as error:
                raise SystemExit(f"Grafana at {url}: {error}") from error
    if directory := environment.get("GRAFANA_PROVISIONING"):
        return into_directory(Path(directory), settings)
    if usual.is_dir():
        return into_directory(usual, settings)
    raise SystemExit(HOW)


def into_directory(directory: Path, settings: Mapping[str, str]) -> str:
    """Write the files from which Grafana reads data sources and dashboards when it starts."""
    # Grafana substitutes variables again, so a literal $ is doubled.
    twice = {name: value.replace("$", "$$") for name, value in settings.items()}
    try:
        for name in (SOURCES, FOLDERS):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(read(name, twice), sort_keys=False))
    except OSError as error:
        raise SystemExit(f"cannot write into {directory}: {error}") from error
    return f"wrote {directory}. Restart Grafana; the dashboards are in the folder {FOLDER}."


def into_running(grafana: httpx.Client, settings: Mapping[str, str]) -> str:
    """Create or update data sources, folder and dashboards over the API."""
    for source in read(SOURCES, settings)["datasources"]:
        path = f"/api/datasources/uid/{source['uid']}"
        if grafana.get(path).status_code == httpx.codes.NOT_FOUND:
            checked(grafana.post("/api/datasources", json=source))
        else:
            checked(grafana.put(path, json=source))
    folder = grafana.post("/api/folders", json={"uid": FOLDER, "title": FOLDER})
    if folder.status_code not in (httpx.codes.CONFLICT, httpx.codes.PRECONDITION_FAILED):
        checked(folder)  # those two statuses mean that it exists
    boards = [json.loads(text) for _, text in documents()]
    for board in boards:
        document = {"dashboard": board, "folderUid": FOLDER, "overwrite": True}
        checked(grafana.post("/api/dashboards/db", json=document))
    done = f"{len(boards)} dashboards: {grafana.base_url.join(f'dashboards/f/{FOLDER}')}"
    if grafana.get(f"/api/plugins/{PLUGIN}/settings").is_success:
        return done
    return f"{done}\nThe plugin is missing: grafana cli plugins install {PLUGIN}"


def checked(answer: httpx.Response) -> None:
    if not answer.is_success:
        raise SystemExit(
            f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}"
        )


def read(name: str, settings: Mapping[str, str]) -> Any:
    """One of the files, with the settings filled in."""
    return put_in(yaml.safe_load((HERE / "provisioning" / name).read_text()), settings)


def put_in(part: Any, settings: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: put_in(value, settings) for key, value in part.items()}
    if isinstance(part, list):
        return [put_in(value, settings) for value in part]
    return Template(part).substitute(settings) if isinstance(part, str) else part


if __name__ == "__main__":
    sys.stdout.write(f"{main()}\n")
