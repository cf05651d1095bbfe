"""Analysis: everything that is computed from stored rows.

    traces/         what one whole trace says: its entry, self times, critical path, calls
        paths       the times of one trace, in Python
        settling    the statements that settle traces
        settler     the background thread that runs them
    transactions/   business transactions that are defined
        documents   YAML and JSON texts with line numbers
        definitions what a definition may say
        registry    the definitions in force
        occurrences what they make of the traces
    queries/        the statements of both

Stands on storage. The API reads its types; it knows neither the API nor the collector.
"""

from clew.analysis.traces.settler import Settler
from clew.analysis.transactions.definitions import Definition, DefinitionError
from clew.analysis.transactions.occurrences import Occurrences, Progress
from clew.analysis.transactions.registry import Outdated, Registry, Revision

__all__ = [
    "Definition",
    "DefinitionError",
    "Occurrences",
    "Outdated",
    "Progress",
    "Registry",
    "Revision",
    "Settler",
]
