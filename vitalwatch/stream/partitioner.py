"""Which partition a key belongs to: Kafka's own rule, so that all programs agree."""

from functools import lru_cache

from kafka.partitioner.default import murmur2


@lru_cache(maxsize=100_000)  # the hash is plain Python, and the same patients come all the time
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of ``key`` among so many, as Kafka's default partitioner (murmur2) has it."""
    positive: int = murmur2(key) & 0x7FFFFFFF
    return positive % partitions
