"""A web page that shows the stream: every patient, every alert, as they come.

``feed`` reads the topics into ``ward``, which is all that is known, in bounded memory; ``server``
gives it to the pages in ``page``, to all of them the same events by way of ``clients``. ``replays``
puts a recording in the feed's place. The room only looks on: of what it writes there are
acknowledgements alone (``acks``). It knows no Kafka, only the broker protocol, and no torch: what
scores a recording or a simulated ward is handed to it.
"""
