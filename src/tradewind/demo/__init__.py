"""The demonstration: a simulated exchange and the platform as two processes, 25 people, and a check at its end.

Nothing shown is made up here: every number comes from the platform's API, its journal, or the simulator's log.
"""
