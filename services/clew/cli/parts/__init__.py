"""The parts of a process. Each is an async context manager, `part(shared)`, that gives the
addresses it serves, by name, and ends what it started when it is left.

    analysis   the definitions in force, and the settler with its steps
    ingest     OTLP in: receivers, spool, loader, ledger, and the guard of the database's size
    read       the REST API
    sql_port   ClickHouse over HTTP
    control    answers to commands on the same machine: backup, backfill

A part knows the others only by what is shared: see clew.storage.coordination.
"""
