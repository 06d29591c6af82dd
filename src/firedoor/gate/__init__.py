"""The gate: machines read content here, over HTTP. The hot path."""
