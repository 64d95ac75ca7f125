"""Collectors of metrics, as an operator has one: StatsD over UDP, and OpenTelemetry over HTTP. They keep what arrives."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # type: ignore[import-untyped,unused-ignore]
    ExportMetricsServiceRequest,
)


class Figures:
    """What arrived: a counter's number, the last value of a gauge and all of them, how often something was timed."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = defaultdict(float)
        self.gauges: dict[str, list[float]] = defaultdict(list)
        self.timers: dict[str, int] = defaultdict(int)


class StatsdCollector:
    """A StatsD server on a free UDP port of this machine; a context manager."""

    def __init__(self) -> None:
        self.figures = Figures()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._collect)

    @property
    def settings(self) -> dict[str, object]:
        """What Airflow has to be told, as `sandbox.airflow.merge` takes it."""
        _, port = self._socket.getsockname()
        return {
            "METRICS__STATSD_ON": True,
            "METRICS__STATSD_HOST": "127.0.0.1",
            "METRICS__STATSD_PORT": port,
            "METRICS__METRICS_ALLOW_LIST": "slurm_sweep",
        }

    def __enter__(self) -> StatsdCollector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"end", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _collect(self) -> None:
        while (datagram := self._socket.recv(65536)) != b"end":
            for line in datagram.decode().splitlines():
                name, _, rest = line.rpartition(":")
                value, kind = rest.split("|")[:2]
                if kind == "c":
                    self.figures.counters[name] += float(value)
                elif kind == "g":
                    self.figures.gauges[name].append(float(value))
                elif kind == "ms":
                    self.figures.timers[name] += 1


class OtelCollector:
    """An OpenTelemetry collector on a free HTTP port of this machine; a context manager."""

    def __init__(self) -> None:
        self.figures = figures = Figures()
        self._totals: dict[tuple[str, int], float] = {}
        totals = self._totals

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the base class's name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for name, kind, start, value in _points(body):
                    if kind == "gauge":
                        figures.gauges[name].append(value)
                    else:  # totals since the start of the process that sends them
                        totals[name, start] = value
                        total = sum(number for (whose, _), number in totals.items() if whose == name)
                        (figures.counters if kind == "sum" else figures.timers)[name] = int(total)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def settings(self) -> dict[str, object]:
        """What Airflow has to be told, as `sandbox.airflow.merge` takes it."""
        return {
            "METRICS__OTEL_ON": True,
            "METRICS__OTEL_HOST": "127.0.0.1",
            "METRICS__OTEL_PORT": self._server.server_port,
            "METRICS__OTEL_INTERVAL_MILLISECONDS": 500,
            "METRICS__METRICS_ALLOW_LIST": "slurm_sweep",
        }

    def __enter__(self) -> OtelCollector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _points(body: bytes) -> list[tuple[str, str, int, Any]]:
    request = ExportMetricsServiceRequest()
    request.ParseFromString(body)
    return [
        (
            metric.name,
            kind,
            point.start_time_unix_nano,
            point.count if kind == "exponential_histogram" else _number(point),
        )
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for kind in [metric.WhichOneof("data")]
        for point in getattr(metric, kind).data_points
    ]


def _number(point: Any) -> float:
    return float(getattr(point, point.WhichOneof("value")))
