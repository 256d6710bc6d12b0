"""Servers that speak the venues' real wire protocols, written from the venues' documents and never from `venues/`."""
