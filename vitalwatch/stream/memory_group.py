"""Consumer groups of the in-process log: who reads which partition."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vitalwatch.stream.broker import TopicPartition


class Member(NamedTuple):
    """One member; ``instance`` is the stable name of a static one."""

    id: int
    topics: frozenset[str]
    instance: str | None


@dataclass(slots=True)
class Group:
    """Members, the assignment that they are to have, and the one that they have.

    A partition changes hands in two steps, as in Kafka's cooperative rebalance: its owner gives
    it up with its next poll, and only then its next owner takes it, with a poll of its own.
    """

    members: dict[int, Member] = field(default_factory=dict)
    target: dict[TopicPartition, int] = field(default_factory=dict)
    owner: dict[TopicPartition, int] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    generation: int = 0
    tokens: dict[int, object] = field(default_factory=dict)  # proof of each member's last poll

    def rebalance(self, partitions: Sequence[TopicPartition]) -> None:
        """Spread the partitions evenly, moving as few as possible."""
        self.generation += 1
        load = dict.fromkeys(self.members, 0)
        target: dict[TopicPartition, int] = {}

        def give(partition: TopicPartition, member: int) -> None:
            target[partition] = member
            load[member] += 1

        def idlest(partition: TopicPartition) -> int:
            return min(self._readers(partition), key=load.__getitem__)

        def excess(partition: TopicPartition) -> int:
            return load[target[partition]] - load[idlest(partition)]

        for partition in partitions:
            if self.target.get(partition) in self._readers(partition):
                give(partition, self.target[partition])
        for partition in partitions:
            if partition not in target:
                give(partition, idlest(partition))
        while partitions and excess(partition := max(partitions, key=excess)) > 1:
            load[target[partition]] -= 1
            give(partition, idlest(partition))
        self.target = target

    def _readers(self, partition: TopicPartition) -> list[int]:
        return [m.id for m in self.members.values() if partition.topic in m.topics]

    def named(self, instance: str | None) -> Member | None:
        """The static member of this name."""
        if instance is None:
            return None
        return next((m for m in self.members.values() if m.instance == instance), None)

    def add(self, member: Member) -> None:
        """Take in a member; a static one takes over from its namesake, with its partitions."""
        old = self.named(member.instance)
        if old is not None:
            self.remove(old.id)
            self.target = {p: member.id if m == old.id else m for p, m in self.target.items()}
        self.members[member.id] = member

    def remove(self, member: int) -> None:
        """Put a member out; what it owned is free at once."""
        del self.members[member]
        self.tokens.pop(member, None)
        self.owner = {p: owner for p, owner in self.owner.items() if owner != member}
