"""Trace context in records' headers (W3C ``traceparent``), which goes on from input to output.

An alert carries the context of the reading that brought it, as it came: so whoever reads the alert
is in the same trace as the device that sent the reading. It is a matter of the log alone, like all
output, and the same whether this program makes spans of its own or not: a span's number is drawn by
chance, and in a header it would make two runs of one log differ.
"""

import re
from typing import Final

from vitalwatch.stream.broker import Headers

PARENT: Final = "traceparent"
STATE: Final = "tracestate"

_PARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LONGEST_STATE: Final = 512


def carried(headers: Headers) -> Headers:
    """Those of a record's headers that go on with what it brought; none that is malformed."""
    parent = [content for name, content in headers if name == PARENT]
    if len(parent) != 1 or parent[0] is None or not _PARENT.fullmatch(parent[0]):
        return ()
    state = [content for name, content in headers if name == STATE and content]
    if len(state) != 1 or len(state[0]) > _LONGEST_STATE or not state[0].isascii():
        return ((PARENT, parent[0]),)
    return ((PARENT, parent[0]), (STATE, state[0]))
