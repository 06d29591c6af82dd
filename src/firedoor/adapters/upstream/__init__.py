"""Where a vendor's content comes from."""
