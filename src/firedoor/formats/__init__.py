"""Foreign bytes to core values: pure, incremental, never trusting a length."""
