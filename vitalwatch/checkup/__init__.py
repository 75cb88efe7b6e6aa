"""Whether this machine, and the cluster, are as VitalWatch needs them; and if not, what to do.

Each check gives findings, a line each. :mod:`libraries` and :mod:`scoring` look at this machine,
:mod:`cluster` at Kafka; nothing is written anywhere, and no group is joined.
"""
