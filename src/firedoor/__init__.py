"""Firedoor."""
