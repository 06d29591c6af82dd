"""TLS in front of the HTTP server: a relay in a process of its own (ADR 0028)."""
