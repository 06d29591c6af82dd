"""The ledger: every decision as a signed, chained entry that anyone can check.

``canonical`` fixes one spelling for every value, ``entry`` makes and reads entries,
``chain`` checks a run of them with nothing but a public key. Signing is not done here:
keys live in ``firedoor.adapters.keys``.
"""
