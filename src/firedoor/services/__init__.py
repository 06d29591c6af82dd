"""Use cases: load, ask the core, store, carry out."""
