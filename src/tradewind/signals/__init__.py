"""Signals in: sources, dialects, the inbox that stores once and hands out in order."""
