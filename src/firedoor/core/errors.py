"""Every error Firedoor raises on purpose: three branches, three answers to "whose turn is it?".

::

    FiredoorError
    |-- Rejected             the caller's turn: nothing was changed          HTTP 4xx, exit 1 or 2
    |   |-- BadConfig        the configuration says something it may not     exit 2
    |   |-- BadInput         bytes or arguments that make no sense           400, exit 2
    |   |-- NotAllowed       no or wrong credentials, or two people needed   401/403
    |   |-- NotFound         no such channel, release, machine               404
    |   |-- TooLarge         a body over the limit                           413
    |   `-- IllegalTransition  a door was sent what its state refuses        409
    |-- Untrusted            bytes do not match their hash or signature      502, exit 1
    `-- Unavailable          try again later                                 503, exit 3
        |-- TooMuch          this caller has too much under way              429
        `-- UpstreamMoved    the vendor's content changed while it was mirrored
"""


class FiredoorError(Exception):
    """Base of the tree. ``hint`` tells a person what to do next, or is empty."""

    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint


class Rejected(FiredoorError):
    """The caller has to change something; nothing was changed here."""


class BadConfig(Rejected):
    """The configuration says something it may not say."""


class BadInput(Rejected):
    """Bytes or arguments that make no sense."""


class NotAllowed(Rejected):
    """Missing or wrong credentials, or an action that needs a second person."""


class NotFound(Rejected):
    """No such channel, release, ring or machine."""


class TooLarge(Rejected):
    """A request body over the limit."""


class IllegalTransition(Rejected):
    """A door was sent an event that its state does not accept."""

    hint = "look at the door's history: the event is stale or was repeated"


class Untrusted(FiredoorError):
    """Bytes that do not match their digest or signature."""


class Unavailable(FiredoorError):
    """Not now; trying again later may work."""


class TooMuch(Unavailable):
    """One caller has more under way than its share; others are served."""


class UpstreamMoved(Unavailable):
    """The vendor's content changed while it was being mirrored; the snapshot was refused."""
