"""Evidence: e-processes that may be looked at after every event, as pure functions of counts.

In data-flow order:

    counts       what one closing saw, for many streams at once
    mixture      wealth spread over bets and over starting times
    harm         "no worse than control": large means harmful
    clearance    "worse by at least delta": large means safe; its bound drives the valve
    relative     "at least rho times as harmful", where failures are common: large means safe
    excess       "worse by at most delta": large means harmful; its bound says by how much
    history      "no worse than past good releases", for fleets without a control arm
    cluster      machines that fail together, sites that are treated as a whole
    attribution  which of two overlapping releases does the harm
    fdr          lists of many streams with few innocents among them
    floor        what no test could do better than, for reports

Streams are the rows of every array; a stream never looks at another, so a release is judged
alone or among ten thousand with the same result.
"""
