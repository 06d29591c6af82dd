"""Stores on SQLite: one database file per writing process, read by any other."""
