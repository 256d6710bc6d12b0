"""The numbers of order-protocol.md section 10 as the harness runs them, scaled down together."""

from __future__ import annotations

from tradewind.config.settings import OrderSettings

# The exchange's own processing bound; the client's fence counts the same figure.
PROCESSING_MS = 200
RECV_WINDOW_MS = 400

CRASH_ORDERS = OrderSettings(
    send_by_ms=700,
    request_timeout_ms=500,
    recv_window_ms=RECV_WINDOW_MS,
    venue_processing_ms=PROCESSING_MS,
    stop_escalation_s=1,
    lease_s=1,
    doubt_alarm_s=10,
)
