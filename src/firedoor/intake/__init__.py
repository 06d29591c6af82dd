"""The intake: the door where machines, or collectors for them, post their signals."""
