"""Reflects every table and prints the result as JSON: python reflect.py HOST:PORT"""

import json
import sys
import warnings

import sqlalchemy

# Tuples with names are types that the dialect does not know.
warnings.filterwarnings("ignore", category=sqlalchemy.exc.SAWarning)

# Without the setting the dialect reads the engine of each table too; it does not know a
# ReplacingMergeTree with a column for deleted rows.
engine = sqlalchemy.create_engine(
    f"clickhouse+http://default:@{sys.argv[1]}/otel?engine_reflection=false"
)
metadata = sqlalchemy.MetaData()
metadata.reflect(engine, views=True)
traces = metadata.tables["otel_traces"]
# The dialect cannot read times with nanoseconds, so the time is a text.
time = sqlalchemy.func.toString(traces.c.Timestamp)
select = sqlalchemy.select(traces.c.SpanName, time).order_by(traces.c.Timestamp)
with engine.connect() as connection:
    names = [row.SpanName for row in connection.execute(select)]
print(
    json.dumps({"tables": sorted(metadata.tables), "columns": len(traces.columns), "names": names})
)
