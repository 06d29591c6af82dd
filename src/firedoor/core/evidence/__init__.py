"""Evidence: e-processes that may be looked at after every event, as pure functions of counts.

In data-flow order:

    counts       what one closing saw, for many streams at once
    mixture      wealth spread over bets and over starting times
    harm         "no worse than control": large means harmful
    clearance    "worse by at least delta": large means safe; its bound drives the valve
    floor        what no test could do better than, for reports

Streams are the rows of every array; a stream never looks at another, so a release is judged
alone or among ten thousand with the same result.
"""
