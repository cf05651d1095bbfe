"""What the agent decides before any telemetry exists: names, settings, what it lets the log say."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from clew.agent import naming, settings
from clew.agent.delivery import ComplaintFilter
from clew.cli import run


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("uvicorn shop.orders:app", "orders"),
        ("uvicorn --host 0.0.0.0 --port 80 orders.main:app", "orders"),
        ("uvicorn --factory shop.orders:create_app", "orders"),
        ("gunicorn -w 2 -b localhost:8000 shop.orders:app", "orders"),
        ("python -m uvicorn orders:app", "orders"),
        ("python -m shop.orders", "orders"),
        ("python -u /srv/orders/main.py --verbose", "orders"),
        ("python /srv/orders.py", "orders"),
        ("/srv/orders/app.py", "orders"),
        ("python -m gunicorn -w 2 orders.wsgi", "orders"),
        ("celery -A orders.tasks worker", "tasks"),
        ("celery --app=orders worker", "orders"),
        ("celery -A orders.celery worker", "orders"),
        ("gunicorn -k uvicorn_worker.UvicornWorker -w 2 orders:app", "orders"),
        ("gunicorn -c shop.conf.py orders.wsgi", "orders"),
        ("uwsgi --http :80 -w orders.wsgi:application", "orders"),
        ("flask --app orders run", "orders"),
        ("granian --interface asgi orders.main:app", "orders"),
        ("/usr/bin/python3.12 /usr/bin/gunicorn orders:app", "orders"),
        ("/usr/bin/python3 /usr/bin/orders --verbose", "orders"),
        ("python -X dev -W error orders.py", "orders"),
        ("dramatiq orders.jobs", "jobs"),
        ("dramatiq orders -p 2 -Q mails", "orders"),
        ("python -m huey.bin.huey_consumer orders.jobs.instance -w 2", "instance"),
        ("python -m orders._jobs", "orders"),
        ("uvicorn orders.fastapi_app:app", "orders"),
        ("gunicorn -w 2 --name shop orders", "orders"),
        ("orders-service --port 80", "orders-service"),
        ("/usr/bin/orders", "orders"),
    ],
)
def test_a_service_is_named_after_its_command(command: str, name: str) -> None:
    assert naming.derived_name({}, command.split()).text == name


def test_a_script_with_a_common_name_is_named_after_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders").mkdir()
    monkeypatch.chdir(tmp_path / "orders")
    assert naming.derived_name({}, ["python", "app.py"]).text == "orders"


def test_settings_are_defaults_only() -> None:
    environ = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_PROPAGATORS": ""}
    settings.apply_defaults(environ)
    assert environ["OTEL_BSP_SCHEDULE_DELAY"] == "50"
    assert environ["OTEL_PROPAGATORS"] == "tracecontext,baggage"
    assert environ.keys() == {setting.name for setting in settings.SETTINGS}


def test_every_setting_stands_once_and_is_explained() -> None:
    names = [setting.name for setting in settings.SETTINGS]
    assert len(names) == len(set(names))
    assert all(setting.default and setting.doc for setting in settings.SETTINGS)


def _environment(base: Mapping[str, str], **arguments: str) -> dict[str, str]:
    return run.environment(["python", "-m", "orders"], base=base, **arguments)


def test_the_environment_loads_the_agent_and_keeps_what_the_user_has() -> None:
    env = _environment({"PYTHONPATH": f"lib{os.pathsep}src", "HOME": "/home/me"})
    hook, *rest = env["PYTHONPATH"].split(os.pathsep)
    assert (Path(hook) / "sitecustomize.py").exists()
    assert rest == ["lib", "src"]
    assert env["HOME"] == "/home/me"
    assert _environment(env)["PYTHONPATH"] == env["PYTHONPATH"]


@pytest.mark.parametrize(
    "command", ["gunicorn", "python -c pass", "uvicorn main:app", "bash run.sh"]
)
def test_a_command_without_a_telling_name_is_named_after_its_project_or_directory(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    words = command.split()
    assert naming.derived_name({}, words) == ("checkout", "its directory")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "payments"')
    assert naming.derived_name({}, words) == ("payments", "pyproject.toml")
    inherited = {"CLEW_PARENT_SERVICE": "orders"}
    assert naming.derived_name(inherited, words).text == "orders"


def test_children_of_one_script_are_told_apart() -> None:
    environ: dict[str, str] = {}
    assert naming.resolve(environ, ["python", "start_all.py"]).text == "start_all"
    assert naming.resolve(dict(environ), ["python", "-m", "orders"]).text == "orders"
    forked = [
        "python",
        "-c",
        "from multiprocessing.spawn import spawn_main",
        "--multiprocessing-fork",
    ]
    assert naming.resolve(dict(environ), forked).text == "start_all"


def test_a_name_given_by_hand_wins_over_the_environment_and_that_over_the_command() -> None:
    assert "OTEL_SERVICE_NAME" not in _environment({})
    assert naming.resolve({"OTEL_SERVICE_NAME": "mine"}, ["python", "a.py"]).text == "mine"
    attributes = {"OTEL_RESOURCE_ATTRIBUTES": "team=a,service.name=mine"}
    assert naming.resolve(attributes, ["python", "a.py"]).text == "mine"
    assert _environment({"OTEL_SERVICE_NAME": "mine"})["OTEL_SERVICE_NAME"] == "mine"
    named = {"OTEL_RESOURCE_ATTRIBUTES": "team=a,service.name=mine"}
    assert "OTEL_SERVICE_NAME" not in _environment(named)
    given = _environment({"OTEL_SERVICE_NAME": "mine"}, service_name="given")
    assert given["OTEL_SERVICE_NAME"] == "given"


def test_the_endpoint_is_left_alone_unless_it_is_given() -> None:
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in _environment({})
    env = _environment({}, endpoint="http://collector:4318")
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"


def test_a_command_that_does_not_exist_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run.run(["no-such-command-anywhere"], service_name=None, endpoint=None)
    assert end.value.code == 127
    assert "command not found: no-such-command-anywhere" in capsys.readouterr().err


def test_a_command_that_cannot_be_executed_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script"
    script.touch()
    with pytest.raises(SystemExit) as end:
        run.run([str(script)], service_name=None, endpoint=None)
    assert end.value.code == 126
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["-I", "-m", "shop"], "-I"),
        (["-uIm", "shop"], "-I"),
        (["-W", "error", "-E", "app.py"], "-E"),
        (["-Werror", "-sE"], "-E"),
        (["-Ximporttime", "app.py", "-I"], ""),
        (["-WIgnore", "app.py"], ""),
        (["-m", "Import", "-E"], ""),
        (["-mshop", "-E"], ""),
        (["--check-hash-based-pycs", "never", "-E", "app.py"], "-E"),
        (["-c", "pass", "-I"], ""),
        (["-P", "-s", "app.py", "-I"], ""),
        (["-", "-I"], ""),
        ([], ""),
    ],
)
def test_an_option_that_keeps_the_agent_out_is_seen(arguments: list[str], option: str) -> None:
    assert run._ignores_the_environment(arguments) == option


def test_an_isolated_python_is_named_and_started(tmp_path: Path) -> None:
    script = tmp_path / "serve"
    script.write_text(f"#!{sys.executable} -I\nprint('served')\n")
    script.chmod(0o755)
    for command in ([sys.executable, "-I", str(script)], [str(script)]):
        result = subprocess.run(
            [sys.executable, "-m", "clew.cli", "run", "--", *command],
            capture_output=True,
            text=True,
        )
        assert (result.returncode, result.stdout) == (0, "served\n")
        assert result.stderr.startswith("clew: not instrumented: python -I ignores PYTHONPATH")


def _complaint(level: int = logging.WARNING) -> logging.LogRecord:
    try:
        raise ConnectionRefusedError("nobody listens")
    except ConnectionRefusedError:
        return logging.LogRecord("sdk", level, "", 0, "attempt %d", (7,), sys.exc_info())


def test_of_many_complaints_one_is_let_through_in_one_line() -> None:
    complaints = ComplaintFilter(interval_s=3600)
    first = _complaint()
    assert [complaints.filter(record) for record in (first, _complaint(), _complaint())] == [
        True,
        False,
        False,
    ]
    line = logging.Formatter().format(first)
    assert "attempt 7" in line
    assert "nobody listens" in line
    assert "\n" not in line


def test_complaints_are_let_through_again_later_and_chatter_never() -> None:
    complaints = ComplaintFilter(interval_s=0)
    assert complaints.filter(_complaint())
    assert complaints.filter(_complaint())
    assert not complaints.filter(_complaint(logging.INFO))


def test_the_agent_loads_nothing_that_only_a_server_needs() -> None:
    program = """
import sys
import clew.agent.sdk, clew.agent.logs, clew.agent.start, clew.cli.run
print(*sorted({name.partition(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("clew.")))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    roots, ours = result.stdout.splitlines()
    heavy = {"chdb", "clickhouse_connect", "fastapi", "httpx", "sqlalchemy", "uvicorn", "uvloop"}
    assert not heavy & set(roots.split())
    areas = {name.split(".")[1] for name in ours.split()}
    assert areas == {"agent", "cli"}
