"""Which instrumentation belongs to which library, and switching it on when the service imports the
library. The agent imports no library that the service does not import itself.

The instrumentations are those of OpenTelemetry's Python contrib, by the names of their entry
points; OTEL_PYTHON_DISABLED_INSTRUMENTATIONS takes these names.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import wrapt

from clew.agent import delivery, forks
from clew.agent.distributions import installed, normalized

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Instrumentation:
    """name: of contrib's entry point. path: module and class of the instrumentor, behind
    `opentelemetry.instrumentation.`; empty if contrib has none. libraries: the distributions that
    it instruments, for `clew run --explain`. trigger: the module after whose import it is switched
    on. arguments: of `instrument()`. switch_on: in place of `instrument()`, with the triggering
    module."""

    name: str
    path: str
    libraries: tuple[str, ...]
    trigger: str
    arguments: dict[str, Any] = field(default_factory=dict)
    switch_on: Callable[[Instrumentation, Any], None] | None = None

    @property
    def package(self) -> str:
        """The distribution that has the instrumentation; clew itself if contrib has none."""
        if not self.path:
            return "clew"
        module = self.path.partition(":")[0].replace("_", "-").replace(".", "-")
        return f"opentelemetry-instrumentation-{'kafka-python' if module == 'kafka' else module}"

    def instrumentor(self) -> Any:
        module, _, name = self.path.partition(":")
        return getattr(import_module(f"opentelemetry.instrumentation.{module}"), name)()

    def instrument(self) -> None:
        self.instrumentor().instrument(**self.arguments)


def _instrument_starlette(instrumentor: Any, application: Any) -> None:
    """Without a span for each message, for which contrib has no argument here."""
    instrumentor.instrument_app(application)
    for middleware in application.user_middleware:
        if middleware.cls.__name__ == "OpenTelemetryMiddleware" and hasattr(middleware, "kwargs"):
            middleware.kwargs["exclude_spans"] = ["send", "receive"]


def _starlette(instrumentation: Instrumentation, module: Any) -> None:
    """Each application when it is made. contrib puts another class in Starlette's place, from which
    FastAPI would inherit: its requests would have two spans."""
    instrumentor = type(instrumentation.instrumentor())

    def init(wrapped: Any, application: Any, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        if not any(base.__module__.startswith("fastapi.") for base in type(application).__mro__):
            _guarded(instrumentation, lambda: _instrument_starlette(instrumentor, application))

    wrapt.wrap_function_wrapper(module, "Starlette.__init__", init)


def _django(instrumentation: Instrumentation, module: Any) -> None:
    """When the first handler loads its middleware: only then are the settings known."""

    def load_middleware(wrapped: Any, handler: Any, args: Any, kwargs: Any) -> Any:
        if not getattr(load_middleware, "is_done", False):
            load_middleware.is_done = True  # type: ignore[attr-defined]
            _guarded(instrumentation, instrumentation.instrument)
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(module, "BaseHandler.load_middleware", load_middleware)


def _sqlalchemy(instrumentation: Instrumentation, module: Any) -> None:
    # 2.1 works, though contrib does not claim it. Its asyncio part, which contrib instruments last,
    # cannot be imported without greenlet; then there is nothing in it to instrument.
    with contextlib.suppress(ImportError):
        instrumentation.instrumentor().instrument(skip_dep_check=True)

    def leave_to_sqlalchemy(connection: Any, _record: Any) -> None:
        if hasattr(connection, "is_traced"):  # of clew.agent.sqlite
            connection.is_traced = False

    module.event.listen(module.pool.Pool, "connect", leave_to_sqlalchemy)


def _sqlite3(instrumentation: Instrumentation, module: Any) -> None:
    from clew.agent.sqlite import trace_connections

    trace_connections(module)


def _celery(instrumentation: Instrumentation, _module: Any) -> None:
    from clew.agent.queues import trace_celery

    trace_celery(instrumentation.instrumentor())


def _from_agent(module: str, function: str) -> Callable[[Instrumentation, Any], None]:
    """What contrib has no instrumentation of: a function of the agent's, with the module that was
    imported."""

    def switch_on(_instrumentation: Instrumentation, library: Any) -> None:
        getattr(import_module(f"clew.agent.{module}"), function)(library)

    return switch_on


def _row(
    name: str, path: str, libraries: str, trigger: str = "", **options: Any
) -> Instrumentation:
    names = tuple(libraries.split())
    return Instrumentation(name, path, names, trigger or (names or ("",))[0], **options)


TABLE: tuple[Instrumentation, ...] = (
    # Servers and frameworks.
    _row("aiohttp-server", "aiohttp_server:AioHttpServerInstrumentor", "aiohttp", "aiohttp.web"),
    _row(
        "django",
        "django:DjangoInstrumentor",
        "django",
        "django.core.handlers.base",
        switch_on=_django,
    ),
    _row("falcon", "falcon:FalconInstrumentor", "falcon"),
    _row(
        "fastapi",
        "fastapi:FastAPIInstrumentor",
        "fastapi",
        # A span for each message of a request doubles the cost and says nothing.
        arguments={"exclude_spans": ["send", "receive"]},
    ),
    _row("flask", "flask:FlaskInstrumentor", "flask"),
    _row("grpc_server", "grpc:GrpcInstrumentorServer", "grpcio", "grpc"),
    _row("grpc_aio_server", "grpc:GrpcAioInstrumentorServer", "grpcio", "grpc.aio"),
    _row("pyramid", "pyramid:PyramidInstrumentor", "pyramid", "pyramid.config"),
    _row(
        "starlette",
        "starlette:StarletteInstrumentor",
        "starlette",
        "starlette.applications",
        switch_on=_starlette,
    ),
    _row("tornado", "tornado:TornadoInstrumentor", "tornado", "tornado.web"),
    # Applications of no framework, where these call them.
    _row("bottle", "", "bottle", switch_on=_from_agent("servers", "trace_bottle")),
    _row(
        "datasette",
        "",
        "datasette",
        "datasette.app",
        switch_on=_from_agent("servers", "trace_datasette"),
    ),
    _row(
        "gunicorn",
        "",
        "gunicorn",
        "gunicorn.workers.base",
        switch_on=_from_agent("servers", "trace_gunicorn"),
    ),
    _row(
        "hypercorn",
        "",
        "hypercorn",
        "hypercorn.app_wrappers",
        switch_on=_from_agent("servers", "trace_hypercorn"),
    ),
    _row(
        "uvicorn",
        "",
        "uvicorn",
        "uvicorn.config",
        switch_on=_from_agent("servers", "trace_uvicorn"),
    ),
    # HTTP and RPC clients.
    _row("aiohttp-client", "aiohttp_client:AioHttpClientInstrumentor", "aiohttp"),
    _row("grpc_client", "grpc:GrpcInstrumentorClient", "grpcio", "grpc"),
    _row("grpc_aio_client", "grpc:GrpcAioInstrumentorClient", "grpcio", "grpc.aio"),
    _row("httpx", "httpx:HTTPXClientInstrumentor", "httpx"),
    _row("httpx2", "httpx:HTTPX2ClientInstrumentor", "httpx2"),
    _row("requests", "requests:RequestsInstrumentor", "requests"),
    _row("urllib", "urllib:URLLibInstrumentor", "", "urllib.request"),
    _row("urllib3", "urllib3:URLLib3Instrumentor", "urllib3"),
    # Databases and caches.
    _row("aiopg", "aiopg:AiopgInstrumentor", "aiopg"),
    _row("asyncpg", "asyncpg:AsyncPGInstrumentor", "asyncpg"),
    _row(
        "cassandra",
        "cassandra:CassandraInstrumentor",
        "cassandra-driver scylla-driver",
        "cassandra.cluster",
    ),
    _row("mysql", "mysql:MySQLInstrumentor", "mysql-connector-python", "mysql.connector"),
    _row("mysqlclient", "mysqlclient:MySQLClientInstrumentor", "mysqlclient", "MySQLdb"),
    _row("psycopg", "psycopg:PsycopgInstrumentor", "psycopg"),
    _row("psycopg2", "psycopg2:Psycopg2Instrumentor", "psycopg2 psycopg2-binary"),
    _row("pymemcache", "pymemcache:PymemcacheInstrumentor", "pymemcache"),
    _row("pymongo", "pymongo:PymongoInstrumentor", "pymongo"),
    _row("pymssql", "pymssql:PyMSSQLInstrumentor", "pymssql"),
    _row("pymysql", "pymysql:PyMySQLInstrumentor", "pymysql"),
    _row("redis", "redis:RedisInstrumentor", "redis"),
    _row("sqlalchemy", "sqlalchemy:SQLAlchemyInstrumentor", "sqlalchemy", switch_on=_sqlalchemy),
    _row("sqlite3", "sqlite3:SQLite3Instrumentor", "", "sqlite3", switch_on=_sqlite3),
    _row("tortoiseorm", "tortoiseorm:TortoiseORMInstrumentor", "tortoise-orm", "tortoise"),
    # Queues and jobs.
    _row("aio-pika", "aio_pika:AioPikaInstrumentor", "aio-pika", "aio_pika"),
    _row("aiokafka", "aiokafka:AIOKafkaInstrumentor", "aiokafka"),
    _row("boto3", "boto3sqs:Boto3SQSInstrumentor", "boto3"),
    _row("celery", "celery:CeleryInstrumentor", "celery", switch_on=_celery),
    _row(
        "confluent_kafka",
        "confluent_kafka:ConfluentKafkaInstrumentor",
        "confluent-kafka",
        "confluent_kafka",
    ),
    _row(
        "dramatiq",
        "",
        "dramatiq",
        "dramatiq.broker",
        switch_on=_from_agent("queues", "trace_dramatiq"),
    ),
    _row("kafka", "kafka:KafkaInstrumentor", "kafka-python", "kafka"),
    _row("pika", "pika:PikaInstrumentor", "pika"),
    _row("remoulade", "remoulade:RemouladeInstrumentor", "remoulade"),
    _row("rq", "", "rq", "rq.queue", switch_on=_from_agent("queues", "trace_rq")),
    # Clouds, templates.
    _row("aiobotocore", "botocore:AiobotocoreInstrumentor", "aiobotocore", "aiobotocore.client"),
    _row("botocore", "botocore:BotocoreInstrumentor", "botocore", "botocore.client"),
    _row("jinja2", "jinja2:Jinja2Instrumentor", "jinja2"),
    _row("threading", "", "", "threading", switch_on=_from_agent("threads", "carry_context")),
)

# Known, and left off: what for.
LEFT_OFF = {
    "asyncio": "10 microseconds a task, and nothing is traced",
    "click": "the command of a server would be one span that never ends",
    "exceptions": "the interpreter's own report of an exception is logged by the agent",
    "structlog": "structlog mostly ends in logging, whose records are exported already",
}


@dataclass(frozen=True)
class Outside:
    """An instrumentation that the agent does not bring, for `reason`. It is switched on where it is
    installed; of several for one library, the first. oldest: the first version that is meant;
    empty for the release of the others."""

    instrumentation: Instrumentation
    reason: str
    oldest: str = ""

    @property
    def library(self) -> str:
        return self.instrumentation.libraries[0]


def _prompts(
    name: str, path: str, library: str, trigger: str = "", oldest: str = "1.0b0"
) -> Outside:
    # Vertex AI has versions below that are another project's.
    return Outside(_row(name, path, library, trigger), "it can record prompts", oldest)


OUTSIDE: tuple[Outside, ...] = (
    Outside(
        _row("asyncclick", "asyncclick:AsyncClickInstrumentor", "asyncclick"),
        "its instrumentation needs an old wrapt",
    ),
    _prompts("openai", "genai.openai:OpenAIInstrumentor", "openai"),
    _prompts("openai", "openai_v2:OpenAIInstrumentor", "openai"),  # the name that it had before
    _prompts(
        "vertexai", "vertexai:VertexAIInstrumentor", "google-cloud-aiplatform", "vertexai", "2.0b0"
    ),
    _prompts("anthropic", "genai.anthropic:AnthropicInstrumentor", "anthropic"),
    _prompts(
        "google-genai", "google_genai:GoogleGenAiSdkInstrumentor", "google-genai", "google.genai"
    ),
)


def switch_on_at_import() -> None:
    """Have every instrumentation of the TABLE, and those OUTSIDE that are installed, switched on
    once its library is imported."""
    for instrumentation in enabled():
        wrapt.register_post_import_hook(_hook(instrumentation), instrumentation.trigger)


def enabled() -> list[Instrumentation]:
    """Those of the TABLE, and those OUTSIDE that are installed, without what is disabled."""
    disabled = _disabled()
    instrumentations = (*TABLE, *_installed_outside().values())
    return [row for row in instrumentations if not {row.name, "*"} & disabled]


def _installed_outside() -> dict[str, Instrumentation]:
    """The instrumentations OUTSIDE that are installed, by the library."""
    instrumentations: dict[str, Instrumentation] = {}
    for row in OUTSIDE:
        version = installed().get(normalized(row.instrumentation.package))
        if version is not None and _major(version) >= _major(row.oldest):
            instrumentations.setdefault(row.library, row.instrumentation)
    return instrumentations


def _major(version: str) -> int:
    """The first number of a version; 0 without one."""
    number = version.partition(".")[0]
    return int(number) if number.isdecimal() else 0


def _disabled() -> set[str]:
    names = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    return {name.strip() for name in names.split(",") if name.strip()}


def _hook(instrumentation: Instrumentation) -> Callable[[Any], None]:
    def imported(module: Any) -> None:
        forks.look()
        if _is_being_imported(instrumentation):
            _waiting.append(lambda: imported(module))
            return
        if instrumentation.switch_on is None:
            _guarded(instrumentation, instrumentation.instrument)
        else:
            switch_on = instrumentation.switch_on
            _guarded(instrumentation, lambda: switch_on(instrumentation, module))
        while _waiting:
            _waiting.pop()()

    return imported


# Of instrumentations whose module imports their library itself: httpx's imports httpx2.
_waiting: list[Callable[[], None]] = []


def _is_being_imported(instrumentation: Instrumentation) -> bool:
    name = f"opentelemetry.instrumentation.{instrumentation.path.partition(':')[0]}"
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def _guarded(instrumentation: Instrumentation, switch_on: Callable[[], None]) -> None:
    """The service goes on as it does without the agent when an instrumentation fails. At the end of
    a process the exporter may be the first to import a library: then nothing is to be traced."""
    if delivery.is_ending():
        return
    try:
        switch_on()
    except ImportError as error:
        # Of those outside, somebody has installed it, and waits for its spans.
        level = logging.WARNING if instrumentation not in TABLE else logging.DEBUG
        _log.log(level, "clew: %s is not instrumented: %s", instrumentation.name, error)
    except Exception as error:
        _log.warning(
            "clew: instrumenting %s failed, going on without it: %r", instrumentation.name, error
        )


@dataclass(frozen=True)
class MissingPackage:
    """An instrumentation that is not installed, for a library that is. `oldest` as in Outside."""

    library: str
    package: str
    reason: str
    oldest: str = ""


def missing_packages() -> list[MissingPackage]:
    """What could be instrumented in this environment and is not, as a package is missing."""
    distributions = installed()
    missing = []
    for instrumentation in TABLE:
        present = _present(instrumentation)
        if present and normalized(instrumentation.package) not in distributions:
            reason = "its instrumentation is not installed"
            missing.append(MissingPackage(present[0], instrumentation.package, reason))
    outside = {row.library: row for row in reversed(OUTSIDE)}
    for row in reversed(outside.values()):
        if _present(row.instrumentation) and row.library not in _installed_outside():
            package = row.instrumentation.package
            missing.append(MissingPackage(row.library, package, row.reason, row.oldest))
    return missing


def _present(instrumentation: Instrumentation) -> list[str]:
    """The libraries of an instrumentation that are installed."""
    names = {normalized(library) for library in instrumentation.libraries}
    return sorted(names & installed().keys())


@dataclass(frozen=True)
class FoundLibraries:
    """Libraries that are installed, by distribution; those that are left out with the reason."""

    instrumented: list[str]
    left_out: list[str]


def found_libraries() -> FoundLibraries:
    """What is installed in this environment; no library is imported."""
    disabled = _disabled()
    missing = missing_packages()
    missing_names = {package.package for package in missing}
    instrumented, left_out = [], []
    for instrumentation in (*TABLE, *_installed_outside().values()):
        present = _present(instrumentation)
        if not present or instrumentation.package in missing_names:
            continue
        if instrumentation.name in disabled or "*" in disabled:
            left_out.append(f"{present[0]} (OTEL_PYTHON_DISABLED_INSTRUMENTATIONS)")
        else:
            instrumented += present
    for package in missing:
        command = f"clew run --install, or pip install '{package.package}'"
        left_out.append(f"{package.library} ({package.reason}: {command})")
    return FoundLibraries(sorted(set(instrumented)), left_out)
