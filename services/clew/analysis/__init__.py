"""Analysis: everything that is computed from stored rows.

    documents/      YAML and JSON that people write, read into pydantic models
    traces/         what one whole trace says: its entry, self times, critical path, calls
        settler     the background thread that settles traces, then runs the steps
        cursor      which traces its next pass settles
        settling    the statements that settle many traces at once
        trace_row   the same for one large trace, in Python
        paths       self times and the critical path of one trace, in Python
        times       times as the statements take them
        edges       a step: the calls between services by minute
        attributes  a step: attribute keys and their frequent values by hour
    steps           the interface of the steps over settled traces
    transactions/   business transactions that are defined
        definitions what a definition may say
        sources     where a key, a value and a user are found: attributes, parts of requests
        registry    the definitions in force
        rules       what agents need of them, to take business context from requests
        occurrences what they make of the traces
    alerts/         rules of alerts, and the states that they bring series into
    watching/       series of what is stored, by the minute and by the hour
    queries/        the statements of traces, transactions and watching

Stands on storage. The API reads its types; it knows neither the API nor the collector.

Errors, under StorageError:

    StorageError
    ├── DocumentError       a document that cannot be used: line, field and reason of every problem
    └── RevisionConflict    definitions that were to be replaced are no longer in force
"""

from clew.analysis.documents import DocumentError
from clew.analysis.traces.settler import Settler
from clew.analysis.transactions.definitions import Definition
from clew.analysis.transactions.occurrences import BackfillProgress, Occurrences
from clew.analysis.transactions.registry import Registry, Revision, RevisionConflict
from clew.analysis.transactions.rules import RulesAnswer

__all__ = [
    "BackfillProgress",
    "Definition",
    "DocumentError",
    "Occurrences",
    "Registry",
    "Revision",
    "RevisionConflict",
    "RulesAnswer",
    "Settler",
]
