"""The composition root: configuration to adapters, adapters to services, services to roles.

A *role* is one process: gate, intake, judge, console. Each writes one database and reads the
others', so no process waits for another's lock, and any of them may be killed and started again
without the others noticing more than a pause. ``supervisor.up`` runs all four.
"""
