"""The sessions of inventory, and a stocktaking that gets into their way while a fault is on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.orm import Session

from clew.shop import database
from clew.shop.faults import Faults

_PAUSE_S = 0.3


class Stocktaking(threading.Thread):
    """Counts the stock, which nobody notices but with a fault: half of the time it then takes the
    only connection of a pool, or locks the tables."""

    def __init__(self, faults: Faults, path: Path, metadata: MetaData) -> None:
        super().__init__(name="stocktaking", daemon=True)
        self._faults = faults
        self._path = path
        self._engine = database.open_database(path, metadata)
        self._small = database.open_database(path, metadata, connections=1)

    def open_session(self) -> Session:
        return Session(
            self._small if self._faults.strikes("inventory_pool_of_one") else self._engine
        )

    def run(self) -> None:
        while True:
            if fault := self._faults.strikes("inventory_pool_of_one"):
                connection = self._small.raw_connection()
                time.sleep(fault.ms / 1000)
                connection.close()
            if fault := self._faults.strikes("inventory_lock_contention"):
                locking = database.connect(self._path)
                locking.execute("BEGIN IMMEDIATE")
                time.sleep(fault.ms / 1000)
                locking.close()
            time.sleep(_PAUSE_S)
