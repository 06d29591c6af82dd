"""Preflight: vendors' own tools, each in a sandbox of its own."""
