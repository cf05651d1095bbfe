"""What stands in a statement that somebody else wrote, as the engine's own parser sees it.

A session's role (clew.storage.rights) is refused by the engine what it has no grant for. Three
things no grant covers, and they are looked for here, in the syntax tree that `parseQueryToJSON`
returns: what kind of statement it is, settings of a subquery (the engine holds only those of the
whole statement against its constraints), and functions and table functions that read what is
outside the database. Table functions, kinds and settings are lists of what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clew.storage.errors import EngineError
from clew.storage.rights import FREE_SETTINGS, OWN_SETTINGS, Bound

SYNTAX_ERROR, NOT_IMPLEMENTED, BAD_ARGUMENTS = 62, 48, 36
UNKNOWN_SETTING, CONSTRAINT, DENIED, CANNOT_PARSE = 115, 452, 497, 27

MOST_TEXT = 256 << 10  # bytes; the engine's own limit, max_query_size

SELECTS = frozenset(("SelectWithUnionQuery", "SelectQuery"))
KINDS = SELECTS | {"ShowTablesQuery", "ShowColumnsQuery", "ShowIndexesQuery", "ExplainQuery"}
# What another clew runs besides. Functions that it makes, views and defaults are examined as they
# are made: whoever reads them later reads nothing else.
WRITES = frozenset(
    (
        *("InsertQuery", "DeleteQuery", "AlterQuery", "CreateQuery", "CreateSQLFunctionQuery"),
        *("DropQuery", "OptimizeQuery", "KillQueryQuery"),
    )
)
OWN_ENGINES = re.compile(r"\w*MergeTree|Null|Memory")
# Keys of the tree that stand for a file, a dictionary's source, or another server.
REACHING = frozenset(("infile", "attach_from_path", "out_file", "dictionary", "cluster"))
OTHER_DISKS = re.compile("ATTACH|EXPORT|FETCH|FREEZE|MOVE|REPLACE|UNFREEZE")  # commands of ALTER
TABLE_FUNCTION_KEYS = ("table_function", "as_table_function")
# What a server keeps in a session between statements; here a session ends with its statement.
OF_SESSIONS = re.compile(
    r"(SET|USE|CREATE TEMPORARY|DROP TEMPORARY|BEGIN|COMMIT|ROLLBACK|EXECUTE AS)\b"
)
TABLE_FUNCTIONS = frozenset(
    (
        *("generaterandom", "generateseries", "generate_series", "mergetreeindex", "null"),
        *("numbers", "numbers_mt", "primes", "values", "view", "viewifpermitted"),
        *("zeros", "zeros_mt"),
    )
)
# Functions that reach a file, another machine, or the request of another.
OUTSIDE = re.compile(
    r"file|filesystem(Available|Capacity|Unreserved)|catboostEvaluate|hasColumnInTable"
    r"|ai(Classify|Embed|Extract|Filter|Generate|Redact|Similarity|Translate)|reverseDNSQuery"
    r"|getClientHTTPHeader|currentRequestURL|getMacro|getOSKernelVersion|serverUUID|joinGet\w*"
    r"|dictGet\w*|dictHas|dictIsIn|zookeeperSessionUptime|getServerPort|tcpPort"
    r"|naiveBayes\w+|evalMLMethod|modelEvaluate|structureTo\w+Schema|fuzz(Query|JSON)",
    re.IGNORECASE,
)
NOT_A_MAP = "CANNOT_PARSE_INPUT_ASSERTION_FAILED"
FILTERS = ("additional_table_filters", "additional_result_filter")

# Statements that the parser has no tree for.
_NAME = r"(?:\w+|`(?:[^`\\]|\\.)*`)"
_NAMED = re.compile(
    rf"(?:EXISTS (?:TABLE|VIEW|DATABASE|DICTIONARY)|SHOW CREATE (?:TABLE|VIEW|DATABASE))"
    rf" {_NAME}(?:\.{_NAME})?"
    r"|SHOW (?:FUNCTIONS(?: I?LIKE '(?:[^'\\]|\\.)*')?|ENGINES|GRANTS|PROCESSLIST)"
    rf"|SHOW SETTING {_NAME}"
)
_FORMAT = re.compile(r"\nFORMAT (?:(\w+)|`(\w+)`)$")
_DESCRIBE = re.compile(r"DESCRIBE(?: TABLE)?(?=[ \n])")

# A map of strings as anybody writes it: what is examined is what the engine will make of it.
_MAP = re.compile(r"\s*\{(\s*'(\\.|[^'\\])*'\s*:\s*'(\\.|[^'\\])*'\s*,?)*\s*\}\s*", re.DOTALL)

# Asks the engine: a statement of one row with one column, and its parameters.
Ask = Callable[[str, Mapping[str, str]], str]

PARSE = """
WITH parseQueryToJSON({sql:String}) AS tree
SELECT if(
    replaceRegexpAll(formatQueryFromJSON(tree), '[()]', '')
        = replaceRegexpAll(formatQuerySingleLine({sql:String}), '[()]', ''),
    tree, '')
"""
FORMATTED = "SELECT formatQuery({sql:String})"
KNOWN = "SELECT count() FROM system.settings WHERE name = {sql:String}"
VIEWS = """
SELECT count() FROM system.tables
WHERE database = 'otel' AND engine = 'View' AND name = {sql:String}
"""


@dataclass(frozen=True)
class Rules:
    """What is allowed: kinds of statements, and settings by their names."""

    kinds: frozenset[str]
    settings: re.Pattern[str]


READING = Rules(KINDS, FREE_SETTINGS)
OWNING = Rules(KINDS | WRITES, OWN_SETTINGS)


@dataclass(frozen=True)
class Statement:
    """One that may be run. `format` is that of its FORMAT clause, empty when it has none; `rows`:
    it is a SELECT, and may have any number of them; `kind`: its own if it is one of WRITES."""

    format: str
    rows: bool
    kind: str = ""


def examine(
    sql: str,
    ask: Ask,
    bounds: Mapping[str, Bound],
    parameters: Mapping[str, str],
    rules: Rules = READING,
) -> Statement:
    """Raises EngineError for a statement that is not to be run here."""
    if len(sql.encode()) > MOST_TEXT:
        raise EngineError(SYNTAX_ERROR, f"Max query size exceeded: {MOST_TEXT} (SYNTAX_ERROR)")
    if "\0" in sql:
        raise EngineError(SYNTAX_ERROR, "Syntax error: the query holds a zero byte. (SYNTAX_ERROR)")
    examination = _Examination(ask, bounds, parameters, rules)
    try:
        tree = examination.tree(sql)
    except EngineError as error:
        if error.code != BAD_ARGUMENTS or "parseQueryToJSON" not in error.text:
            raise
        return _without_tree(examination, ask(FORMATTED, {"sql": sql}).strip())
    if tree["type"] not in rules.kinds:
        raise _refused(ask(FORMATTED, {"sql": sql}))
    examination.check(tree)
    kind = tree["type"] if tree["type"] in WRITES else ""
    return Statement(tree.get("format_ast", {}).get("name", ""), tree["type"] in SELECTS, kind)


def check_setting(
    name: str, value: str, ask: Ask, bounds: Mapping[str, Bound], rules: Rules = READING
) -> str:
    """What a setting is to be that a client sends beside the statement: itself, or the most that
    there is. Raises EngineError for one that may not be set."""
    examination = _Examination(ask, bounds, {}, rules)
    if name in bounds:
        return _bounded(name, value, bounds[name])
    examination.check_name_of_setting(name)
    if name in FILTERS:
        text = value if name == FILTERS[0] else _quoted(value)
        if not _MAP.fullmatch(value) and name == FILTERS[0]:
            raise EngineError(
                CANNOT_PARSE, f"Setting {name} is not a map. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)"
            )
        examination.check(examination.tree(f"SELECT 1 SETTINGS {name} = {text}"))
    return value


def _bounded(name: str, value: str, bound: Bound) -> str:
    """Drivers send their own time limit, larger than ours: the lesser holds."""
    try:
        asked = int(float(value))
    except (ValueError, OverflowError):
        raise EngineError(
            CONSTRAINT, f"Setting {name} cannot be {value!r}. (SETTING_CONSTRAINT_VIOLATION)"
        ) from None
    return str(min(asked, bound.most) if asked > 0 else bound.usual)


class _Examination:
    def __init__(
        self, ask: Ask, bounds: Mapping[str, Bound], parameters: Mapping[str, str], rules: Rules
    ) -> None:
        self._ask = ask
        self._bounds = bounds
        self._parameters = parameters
        self._rules = rules

    def tree(self, sql: str) -> dict[str, Any]:
        try:
            text = self._ask(PARSE, {"sql": sql})
        except EngineError as error:
            said = re.sub(
                r": (?:I|i)n scope (?:SELECT|WITH) parseQueryToJSON\(.*", "", error.text, flags=re.S
            )
            if error.code == BAD_ARGUMENTS or said == error.text:
                raise
            name = re.search(r"\(([A-Z_]+)\)$", error.text)
            raise EngineError(error.code, f"{said} ({name[1] if name else ''})") from error
        if not text:
            raise EngineError(
                NOT_IMPLEMENTED, "This statement cannot be examined. (NOT_IMPLEMENTED)"
            )
        tree: dict[str, Any] = json.loads(text)
        return tree

    def check(self, tree: dict[str, Any]) -> None:
        """Raises EngineError when something stands in the tree that is not allowed."""
        # The query of a view runs with the rights of whom the view belongs to: the engine's.
        lasting = tree.get("type") in ("CreateQuery", "AlterQuery")
        for node in _nodes(tree):
            kind = node.get("type", "")
            if "out_file" in node:
                raise _denied("INTO OUTFILE writes a file")
            if kind == "ExplainQuery" and node.get("query", {}).get("type") not in KINDS:
                raise _denied("only a SELECT can be explained")
            if kind == "SetQuery":
                self._check_settings(node)
            for key in TABLE_FUNCTION_KEYS:
                if isinstance(function := node.get(key), dict):
                    self._check_table_function(function.get("name", ""))
            if kind in WRITES or kind in ("Storage", "AlterCommand"):
                _check_written(node)
            if lasting and kind in ("TableIdentifier", "Identifier"):
                _check_ours(node.get("name", ""), kind == "TableIdentifier")
            if kind == "QueryParameter":
                # An Identifier's value is read as if it stood in the statement.
                if "identifier" in node.get("param_type", "identifier").lower():
                    _check_name(self._parameters.get(node.get("name", ""), ""))
            elif kind != "Literal":
                for name in _texts(node):
                    _check_name(name)

    def _check_table_function(self, name: str) -> None:
        # A view with parameters is called like one; the role's grants are for it as for any view.
        view = name.removeprefix("otel.")
        if name.lower() not in TABLE_FUNCTIONS and not int(self._ask(VIEWS, {"sql": view})):
            raise _denied(f"the table function {name} is not for reading here")

    def _check_settings(self, node: dict[str, Any]) -> None:
        if node.keys() - {"type", "changes", "is_standalone"}:
            raise EngineError(
                CONSTRAINT,
                "SETTINGS of a statement can neither be DEFAULT nor parameters here."
                " (SETTING_CONSTRAINT_VIOLATION)",
            )
        for change in node["changes"]:
            name, value = change["name"], change["value"].get("value")
            if name in self._bounds:
                self._check_bound(name, value)
            else:
                self.check_name_of_setting(name)
            if name in FILTERS:
                for text in _strings(value):
                    self.check(self.tree(f"SELECT {text}"))

    def _check_bound(self, name: str, value: Any) -> None:
        most = self._bounds[name].most
        try:
            asked = float(value)
        except (TypeError, ValueError):
            asked = 0
        if not 1 <= asked <= most:
            raise EngineError(
                CONSTRAINT,
                f"Setting {name} should be from 1 to {most}. (SETTING_CONSTRAINT_VIOLATION)",
            )

    def check_name_of_setting(self, name: str) -> None:
        if self._rules.settings.fullmatch(name):
            return
        if self._ask(KNOWN, {"sql": name}).strip() == "0":
            raise EngineError(UNKNOWN_SETTING, f"Unknown setting '{name}'. (UNKNOWN_SETTING)")
        raise EngineError(
            CONSTRAINT, f"Setting {name} should not be changed. (SETTING_CONSTRAINT_VIOLATION)"
        )


def _without_tree(examination: _Examination, formatted: str) -> Statement:
    """A statement that the parser has no tree for, as the engine formats it."""
    clause = _FORMAT.search(formatted)
    bare = formatted[: clause.start()] if clause else formatted
    described = _DESCRIBE.match(bare)
    if described and not bare.startswith("DESCRIBE FILESYSTEM"):
        # What can be described can be selected from, and of that there is a tree.
        examination.check(examination.tree(f"SELECT * FROM{bare[described.end() :]}"))
    elif not _NAMED.fullmatch(bare):
        raise _refused(formatted)
    return Statement((clause[1] or clause[2]) if clause else "", rows=False)


def _refused(formatted: str) -> EngineError:
    word = formatted.strip()
    if OF_SESSIONS.match(word):
        return EngineError(
            NOT_IMPLEMENTED,
            f"{OF_SESSIONS.match(word)[0]}: nothing is kept from one statement to the next here; "  # type: ignore[index]
            "send settings, parameters and the database with each. (NOT_IMPLEMENTED)",
        )
    return _denied(f"{' '.join(word.split()[:2])} is not a statement that reads")


def _denied(reason: str) -> EngineError:
    return EngineError(DENIED, f"Not enough privileges: {reason}. (ACCESS_DENIED)")


def _check_written(node: dict[str, Any]) -> None:
    """What another clew makes is a table of its own."""
    if reaching := REACHING & node.keys() or (node.get("attach") and {"ATTACH"}):
        raise _denied(f"{', '.join(reaching)} reaches outside the database")
    if node.get("is_dictionary"):
        raise _denied("a dictionary reaches outside the database")
    if OTHER_DISKS.match(node.get("command_type", "")):
        raise _denied("partitions stay in their table")
    if node.get("temporary") or node.get("is_temporary"):
        raise _denied("there are no temporary tables")
    if "sql_security" in node:
        raise _denied("a view has no other rights than its table's")
    engine = node.get("engine")
    if isinstance(engine, dict) and not OWN_ENGINES.fullmatch(engine.get("name", "")):
        raise _denied(f"the table engine {engine.get('name')} is not for tables here")


def _check_ours(name: str, is_table: bool) -> None:
    """Behind IN a table is an identifier like others: of those only the engine's are known."""
    database, dot, _ = name.partition(".")
    engines = database.lower() in ("system", "information_schema")
    if dot and (engines or (is_table and database != "otel")):
        raise _denied(f"{name} is outside the database")


def _check_name(name: str) -> None:
    if OUTSIDE.fullmatch(name.strip().strip('`"')):
        raise _denied(f"the function {name} reaches outside the database")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            if node.get("type") != "Literal":
                waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _texts(node: dict[str, Any]) -> Iterator[str]:
    """Every word of this node: a function can be named by more than a function's name (APPLY)."""
    for key, value in node.items():
        if key == "alias":
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        yield from _strings(value.get("value"))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
