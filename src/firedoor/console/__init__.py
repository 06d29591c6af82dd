"""The console: what people and scripts see of the doors, and how they act on them.

``app.make_app`` puts the pieces together: ``guard`` decides who may read and who may act,
``api`` answers scripts, ``pages`` and ``svg`` answer people, ``live`` tells both that something
changed. All of them read through ``reading.ReadModel`` and act through ``reading.Requests``;
nothing here touches a store.
"""
