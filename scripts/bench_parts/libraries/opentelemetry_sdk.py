"""OpenTelemetry: a counter of the SDK, with a reader, without which it would count nothing."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from bench_parts.libraries import Call, event_names


class Library:
    def __init__(self, kind: str, port: int, folder: str) -> None:
        self._meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")

    def call(self, name: str, events: int, intervals: int) -> Call:
        """Returns a call on a counter without attributes, or on one whose attribute is the event."""
        counter = self._meter.create_counter(f"events{events}")
        if events == 1:
            return Call("target.add(1)", counter)
        return Call("target.add(1, each)", counter, [{"event": name} for name in event_names(events)])
