"""Checks a client's statement in the syntax tree that the engine's own parser returns.

A session's role (clew.storage.rights) makes the engine refuse what the role has no grant for. Three
things are not covered by grants, and are checked here in the tree of `parseQueryToJSON`:

- the kind of statement,
- settings of subqueries (the engine applies constraints only to those of the whole statement),
- functions and table functions that read something outside of the database.

Kinds, settings and table functions are lists of what is allowed; functions are a list of what is
not. ADR 0014 says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clew.storage.errors import EngineError, ErrorCode, refusal
from clew.storage.quoting import literal
from clew.storage.rights import CLIENT_SETTINGS, PEER_SETTINGS, Bound

MAX_STATEMENT = 256 << 10  # bytes; the engine's own limit, max_query_size

SELECT_KINDS = frozenset(("SelectWithUnionQuery", "SelectQuery"))
READ_KINDS = SELECT_KINDS | {
    *("ShowTablesQuery", "ShowColumnsQuery", "ShowIndexesQuery", "ExplainQuery"),
}
# A peer's further statements. SQL functions, views and column defaults are checked when they are
# created: using them later reads nothing else.
WRITE_KINDS = frozenset(
    (
        *("InsertQuery", "DeleteQuery", "AlterQuery", "CreateQuery", "CreateSQLFunctionQuery"),
        *("DropQuery", "OptimizeQuery", "KillQueryQuery"),
    )
)
PEER_TABLE_ENGINES = re.compile(r"\w*MergeTree|Null|Memory")
# Keys of the tree that name a file, a dictionary's source, or another server.
OUTSIDE_KEYS = frozenset(("infile", "attach_from_path", "out_file", "dictionary", "cluster"))
# ALTER commands that copy or move partitions out of their table.
PARTITION_COMMANDS = re.compile("ATTACH|EXPORT|FETCH|FREEZE|MOVE|REPLACE|UNFREEZE")
TABLE_FUNCTION_KEYS = ("table_function", "as_table_function")
# Statements whose effect a server keeps in a session; here a session ends with its statement.
SESSION_STATEMENTS = re.compile(
    r"(SET|USE|CREATE TEMPORARY|DROP TEMPORARY|BEGIN|COMMIT|ROLLBACK|EXECUTE AS)\b"
)
TABLE_FUNCTIONS = frozenset(
    (
        *("generaterandom", "generateseries", "generate_series", "mergetreeindex", "null"),
        *("numbers", "numbers_mt", "primes", "values", "view", "viewifpermitted"),
        *("zeros", "zeros_mt"),
    )
)
# Functions that read a file, another machine, the engine's host, or another client's request.
OUTSIDE_FUNCTIONS = re.compile(
    r"file|filesystem(Available|Capacity|Unreserved)|catboostEvaluate|hasColumnInTable"
    r"|ai(Classify|Embed|Extract|Filter|Generate|Redact|Similarity|Translate)|reverseDNSQuery"
    r"|getClientHTTPHeader|currentRequestURL|getMacro|getOSKernelVersion|serverUUID|joinGet\w*"
    r"|dictGet\w*|dictHas|dictIsIn|zookeeperSessionUptime|getServerPort|tcpPort"
    r"|naiveBayes\w+|evalMLMethod|modelEvaluate|structureTo\w+Schema|fuzz(Query|JSON)",
    re.IGNORECASE,
)
# Settings that filter rows: a map of tables to expressions, and an expression.
TABLE_FILTERS, RESULT_FILTER = "additional_table_filters", "additional_result_filter"

# Statements that the parser returns no tree for, in the form that `formatQuery` gives them.
_NAME = r"(?:\w+|`(?:[^`\\]|\\.)*`)"
_STATEMENT_WITHOUT_TREE = re.compile(
    rf"(?:EXISTS (?:TABLE|VIEW|DATABASE|DICTIONARY)|SHOW CREATE (?:TABLE|VIEW|DATABASE))"
    rf" {_NAME}(?:\.{_NAME})?"
    r"|SHOW (?:FUNCTIONS(?: I?LIKE '(?:[^'\\]|\\.)*')?|ENGINES|GRANTS|PROCESSLIST)"
    rf"|SHOW SETTING {_NAME}"
)
_FORMAT = re.compile(r"\nFORMAT (?:(\w+)|`(\w+)`)$")
_DESCRIBE = re.compile(r"DESCRIBE(?: TABLE)?(?=[ \n])")

# A map of strings in its plain form: any other text could be examined as one thing and mean another
# to the engine.
_MAP = re.compile(r"\s*\{(\s*'(\\.|[^'\\])*'\s*:\s*'(\\.|[^'\\])*'\s*,?)*\s*\}\s*", re.DOTALL)

# Runs a statement of one row and one column in the engine, with bound parameters.
ScalarQuery = Callable[[str, Mapping[str, str]], str]

# The tree, or nothing when it is not the whole statement: it has to format to the same text.
PARSE = """
WITH parseQueryToJSON({sql:String}) AS tree
SELECT if(
    replaceRegexpAll(formatQueryFromJSON(tree), '[()]', '')
        = replaceRegexpAll(formatQuerySingleLine({sql:String}), '[()]', ''),
    tree, '')
"""
FORMATTED = "SELECT formatQuery({sql:String})"
SETTING_EXISTS = "SELECT count() FROM system.settings WHERE name = {sql:String}"


@dataclass(frozen=True)
class Rules:
    """What is allowed: kinds of statements, by the tree's names, and settings."""

    kinds: frozenset[str]
    settings: re.Pattern[str]


READ_RULES = Rules(READ_KINDS, CLIENT_SETTINGS)
PEER_RULES = Rules(READ_KINDS | WRITE_KINDS, PEER_SETTINGS)


@dataclass(frozen=True)
class Statement:
    """A statement that may be run.

    format      the format named by its FORMAT clause; empty without one
    is_select   it is a SELECT, whose answer can have any number of rows
    write_kind  its kind when it is one of WRITE_KINDS, else empty
    """

    format: str
    is_select: bool
    write_kind: str = ""


def examine(
    sql: str,
    query: ScalarQuery,
    bounds: Mapping[str, Bound],
    parameters: Mapping[str, str],
    rules: Rules = READ_RULES,
) -> Statement:
    """Check a statement. `query` asks the engine, `bounds` are the limits of settings by name,
    `parameters` the statement's own. Raises EngineError when it may not be run."""
    if len(sql.encode()) > MAX_STATEMENT:
        raise refusal(ErrorCode.SYNTAX_ERROR, f"Max query size exceeded: {MAX_STATEMENT}")
    if "\0" in sql:
        raise refusal(ErrorCode.SYNTAX_ERROR, "Syntax error: the query contains a zero byte.")
    examination = _Examination(query, bounds, parameters, rules)
    try:
        tree = examination.parse(sql)
    except EngineError as error:
        if error.code != ErrorCode.BAD_ARGUMENTS or "parseQueryToJSON" not in error.text:
            raise
        return _examine_without_tree(examination, query(FORMATTED, {"sql": sql}).strip())
    kind = tree["type"]
    if kind not in rules.kinds:
        raise _kind_refusal(query(FORMATTED, {"sql": sql}))
    examination.check(tree)
    return Statement(
        tree.get("format_ast", {}).get("name", ""),
        kind in SELECT_KINDS,
        kind if kind in WRITE_KINDS else "",
    )


def check_setting(
    name: str,
    value: str,
    query: ScalarQuery,
    bounds: Mapping[str, Bound],
    rules: Rules = READ_RULES,
) -> str:
    """The value to use for a setting that a client sends beside its statement: its own, or the
    bound's maximum. Raises EngineError for a setting that may not be set."""
    examination = _Examination(query, bounds, {}, rules)
    if name in bounds:
        return _clamp(name, value, bounds[name])
    examination.check_setting_name(name)
    if name == TABLE_FILTERS and not _MAP.fullmatch(value):
        raise refusal(
            ErrorCode.CANNOT_PARSE_INPUT_ASSERTION_FAILED, f"Setting {name} is not a map."
        )
    if name in (TABLE_FILTERS, RESULT_FILTER):
        text = value if name == TABLE_FILTERS else literal(value)
        examination.check(examination.parse(f"SELECT 1 SETTINGS {name} = {text}"))
    return value


def _clamp(name: str, value: str, bound: Bound) -> str:
    """Drivers send a time limit of their own, longer than ours: the lower limit is used."""
    try:
        requested = int(float(value))
    except (ValueError, OverflowError):
        raise refusal(
            ErrorCode.SETTING_CONSTRAINT_VIOLATION, f"Setting {name} cannot be {value!r}."
        ) from None
    return str(min(requested, bound.maximum) if requested > 0 else bound.default)


class _Examination:
    """The checks of one statement. Each check raises EngineError."""

    def __init__(
        self,
        query: ScalarQuery,
        bounds: Mapping[str, Bound],
        parameters: Mapping[str, str],
        rules: Rules,
    ) -> None:
        self._query = query
        self._bounds = bounds
        self._parameters = parameters
        self._rules = rules

    def parse(self, sql: str) -> dict[str, Any]:
        """The syntax tree of a whole statement."""
        try:
            text = self._query(PARSE, {"sql": sql})
        except EngineError as error:
            message = re.sub(
                r": (?:I|i)n scope (?:SELECT|WITH) parseQueryToJSON\(.*", "", error.text, flags=re.S
            )
            if error.code == ErrorCode.BAD_ARGUMENTS or message == error.text:
                raise
            name = re.search(r"\(([A-Z_]+)\)$", error.text)
            raise EngineError(error.code, f"{message} ({name[1] if name else ''})") from error
        if not text:
            raise refusal(ErrorCode.NOT_IMPLEMENTED, "This statement cannot be examined.")
        tree: dict[str, Any] = json.loads(text)
        return tree

    def check(self, tree: dict[str, Any]) -> None:
        """Check every node of a statement's tree."""
        # A view's query runs with the rights of the view's owner, which is the engine.
        is_definition = tree.get("type") in ("CreateQuery", "AlterQuery")
        for node in _nodes(tree):
            kind = node.get("type", "")
            if "out_file" in node:
                raise _access_denied("INTO OUTFILE writes a file")
            if kind == "ExplainQuery" and node.get("query", {}).get("type") not in READ_KINDS:
                raise _access_denied("only a SELECT can be explained")
            if kind == "SetQuery":
                self._check_settings(node)
            for key in TABLE_FUNCTION_KEYS:
                if isinstance(function := node.get(key), dict):
                    _check_table_function(function.get("name", ""))
            if kind in WRITE_KINDS or kind in ("Storage", "AlterCommand"):
                _check_write(node)
            if is_definition and kind in ("TableIdentifier", "Identifier"):
                _check_database(node.get("name", ""), kind == "TableIdentifier")
            if kind == "QueryParameter":
                # The engine reads an Identifier's value as if it were written in the statement.
                if "identifier" in node.get("param_type", "identifier").lower():
                    _check_function_name(self._parameters.get(node.get("name", ""), ""))
            elif kind != "Literal":
                for name in _words(node):
                    _check_function_name(name)

    def _check_settings(self, node: dict[str, Any]) -> None:
        if node.keys() - {"type", "changes", "is_standalone"}:
            raise refusal(
                ErrorCode.SETTING_CONSTRAINT_VIOLATION,
                "SETTINGS of a statement can neither be DEFAULT nor parameters here.",
            )
        for change in node["changes"]:
            name, value = change["name"], change["value"].get("value")
            if name in self._bounds:
                self._check_bound(name, value)
            else:
                self.check_setting_name(name)
            if name in (TABLE_FILTERS, RESULT_FILTER):
                for text in _strings(value):
                    self.check(self.parse(f"SELECT {text}"))

    def _check_bound(self, name: str, value: Any) -> None:
        maximum = self._bounds[name].maximum
        try:
            requested = float(value)
        except (TypeError, ValueError):
            requested = 0
        if not 1 <= requested <= maximum:
            raise refusal(
                ErrorCode.SETTING_CONSTRAINT_VIOLATION,
                f"Setting {name} should be from 1 to {maximum}.",
            )

    def check_setting_name(self, name: str) -> None:
        if self._rules.settings.fullmatch(name):
            return
        if self._query(SETTING_EXISTS, {"sql": name}).strip() == "0":
            raise refusal(ErrorCode.UNKNOWN_SETTING, f"Unknown setting '{name}'.")
        raise refusal(
            ErrorCode.SETTING_CONSTRAINT_VIOLATION, f"Setting {name} should not be changed."
        )


def _examine_without_tree(examination: _Examination, formatted: str) -> Statement:
    """Check a statement that the parser has no tree for, as the engine formats it."""
    clause = _FORMAT.search(formatted)
    bare = formatted[: clause.start()] if clause else formatted
    describe = _DESCRIBE.match(bare)
    if describe and not bare.startswith("DESCRIBE FILESYSTEM"):
        # What can be described can be selected from, and a SELECT has a tree.
        examination.check(examination.parse(f"SELECT * FROM{bare[describe.end() :]}"))
    elif not _STATEMENT_WITHOUT_TREE.fullmatch(bare):
        raise _kind_refusal(formatted)
    return Statement((clause[1] or clause[2]) if clause else "", is_select=False)


def _kind_refusal(formatted: str) -> EngineError:
    statement = formatted.strip()
    if keyword := SESSION_STATEMENTS.match(statement):
        return refusal(
            ErrorCode.NOT_IMPLEMENTED,
            f"{keyword[0]}: nothing is kept from one statement to the next here; "
            "send settings, parameters and the database with each.",
        )
    return _access_denied(f"{' '.join(statement.split()[:2])} is not a statement that reads")


def _access_denied(reason: str) -> EngineError:
    return refusal(ErrorCode.ACCESS_DENIED, f"Not enough privileges: {reason}.")


def _check_write(node: dict[str, Any]) -> None:
    """A peer's tables are tables of the database, and keep their rows in it."""
    if keys := OUTSIDE_KEYS & node.keys() or (node.get("attach") and {"ATTACH"}):
        raise _access_denied(f"{', '.join(keys)} reaches outside the database")
    if node.get("is_dictionary"):
        raise _access_denied("a dictionary reaches outside the database")
    if PARTITION_COMMANDS.match(node.get("command_type", "")):
        raise _access_denied("partitions stay in their table")
    if node.get("temporary") or node.get("is_temporary"):
        raise _access_denied("there are no temporary tables")
    if "sql_security" in node:
        raise _access_denied("a view has no other rights than its table's")
    engine = node.get("engine")
    if isinstance(engine, dict) and not PEER_TABLE_ENGINES.fullmatch(engine.get("name", "")):
        raise _access_denied(f"the table engine {engine.get('name')} is not for tables here")


def _check_database(name: str, is_table: bool) -> None:
    """A table after IN is a plain identifier in the tree, which may also be a column of an alias:
    there only the engine's own databases are refused."""
    database, dot, _ = name.partition(".")
    is_system = database.lower() in ("system", "information_schema")
    if dot and (is_system or (is_table and database != "otel")):
        raise _access_denied(f"{name} is outside the database")


def _check_table_function(name: str) -> None:
    if name.lower() not in TABLE_FUNCTIONS:
        raise _access_denied(f"the table function {name} is not for reading here")


def _check_function_name(name: str) -> None:
    if OUTSIDE_FUNCTIONS.fullmatch(name.strip().strip('`"')):
        raise _access_denied(f"the function {name} reaches outside the database")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a tree, except what is below a literal."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            if node.get("type") != "Literal":
                pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _words(node: dict[str, Any]) -> Iterator[str]:
    """Every string of a node except its alias: a function is named in several places (APPLY)."""
    for key, value in node.items():
        if key == "alias":
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, str))


def _strings(value: Any) -> Iterator[str]:
    """Every string in a literal's value, of any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        yield from _strings(value.get("value"))
