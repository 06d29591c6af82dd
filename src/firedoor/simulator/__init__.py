"""A sample vendor and a fleet of machines that talk nothing but HTTP.

The same simulator serves the tests, the demo and the rehearsal. Vendor and fleet are processes of
their own (``python -m firedoor.simulator.vendor``, ``python -m firedoor.simulator.fleet``): they
share no memory with each other or with Firedoor, so whatever is learnt from them was learnt over
the wire. What is harmful is in the bytes of a release (`content`), never in a flag beside them.
"""
