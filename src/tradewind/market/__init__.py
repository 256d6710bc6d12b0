"""The market room: what can be traded, what it costs now, how the venues are."""
