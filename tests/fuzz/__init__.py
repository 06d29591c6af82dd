"""Fuzzing of what reads foreign bytes: ``make soak`` runs it, with a corpus that it keeps small."""
