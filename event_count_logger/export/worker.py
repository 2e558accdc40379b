"""The thread of an exporter.

A database that hangs holds up this thread only. The heartbeats go on in the main thread.
"""

from __future__ import annotations

import threading
import time

from event_count_logger.export.exporter import Exporter
from event_count_logger.export.faults import DatabaseFault
from event_count_logger.logs import Log

#: Seconds to the next attempt after a fault of the database: the first one, doubled up to the last one.
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 15.0

#: Seconds without progress after which the database counts as hanging.
_HANGING_S = 30.0


class ExportWorker:
    """Runs an exporter in a thread until `stop` is called.

    Attributes:
        error: The error that has ended the thread.
        fault: The current fault of the database; '' without one.
    """

    def __init__(self, exporter: Exporter, log: Log) -> None:
        self.exporter = exporter
        self.error: Exception | None = None
        self._log = log
        self.fault = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ecl export", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Let the thread end after its transaction, and wait for that."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def watch(self) -> None:
        """Report a database that hangs. For another thread, about once a second."""
        if not self.fault and time.monotonic() - self.exporter.progressed_at > _HANGING_S:
            self._note_fault(f"The database has not answered for {_HANGING_S:.0f} s")

    def _run(self) -> None:
        try:
            retry_s = _FIRST_RETRY_S
            while not self._stopping.is_set():
                try:
                    wait_s = self.exporter.step()
                    self._note_success()
                    retry_s = _FIRST_RETRY_S
                except DatabaseFault as error:
                    self._note_fault(error)
                    wait_s, retry_s = retry_s, min(2 * retry_s, _LAST_RETRY_S)
                self._stopping.wait(wait_s)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.error = error
        finally:
            self.exporter.close()

    def _note_fault(self, fault: DatabaseFault | str) -> None:
        if not self.fault:
            self._log.warning("%s; retrying, finished intervals stay in Redis", fault)
        self.fault = str(fault)
        self.exporter.progressed_at = time.monotonic()

    def _note_success(self) -> None:
        if self.fault:
            self._log.info("The database answers again; the export continues")
        self.fault = ""
