"""What Kafka itself loses when a node without copies is killed, put right as an operator would.

A node that is killed and restarted takes itself for the leader of its partitions for a moment,
from its last life, until its controller says that nobody leads them. A transaction that is to be
completed in that moment, because the node was killed within its commit or because its time is
over, is marked as complete, but some of its partitions never get their marker: for one that has no
leader the coordinator believes that it was deleted (Kafka 4.4; its log says "Couldn't find leader
endpoint"). Such a transaction hangs: readers wait at it for ever, and the next commit of the same
producer makes visible what may have been aborted. It is no fault of what is tested here.
"""

import time
from contextlib import closing
from typing import Any, Final

from kafka import KafkaAdminClient, errors
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest
from kafka.structs import TopicPartition

_SECONDS: Final = 20.0


def write_lost(address: str) -> int:
    """Write the markers that the node at ``address`` lost; how many. Nobody else may write."""
    end = time.monotonic() + _SECONDS
    with closing(KafkaAdminClient(bootstrap_servers=address)) as admin:
        while True:
            try:
                return _write_lost(admin)
            except (_NotYet, errors.KafkaError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


class _NotYet(Exception):  # noqa: N818 - no error
    """The node is not so far."""


def _write_lost(admin: Any) -> int:
    partitions = _led(admin)
    open_ = [
        (at, producer)
        for at, found in admin.describe_producers(partitions).items()
        for producer in found.active_producers
        if producer.current_transaction_start_offset >= 0
    ]
    states = _states(admin)
    if not all(producer.producer_id in states for _, producer in open_):
        raise _NotYet("the coordinator of transactions is loading")
    if any(state.startswith("Prepare") for state, _ in states.values()):
        raise _NotYet("a transaction is being completed")
    lost = 0
    for at, producer in open_:
        state, under_way = states[producer.producer_id]
        if at not in under_way:
            _write(admin, at, producer, committed=state == "CompleteCommit")
            lost += 1
    return lost


def _led(admin: Any) -> list[TopicPartition]:
    """All partitions, each of which has a leader."""
    partitions = []
    for topic in admin.describe_topics():
        for partition in topic["partitions"]:
            if partition["leader_id"] < 0:
                raise _NotYet("a partition has no leader")
            partitions.append(TopicPartition(topic["name"], partition["partition_index"]))
    return partitions


def _states(admin: Any) -> dict[int, tuple[str, Any]]:
    """By producer: its last transaction's state, and its partitions while it is under way."""
    listed = [each for found in admin.list_transactions().values() for each in found]
    described = admin.describe_transactions([each.transactional_id for each in listed])
    return {
        each.producer_id: (str(each.state.value), each.topic_partitions)
        for each in described.values()
    }


def _write(admin: Any, at: TopicPartition, producer: Any, *, committed: bool) -> None:
    marker_of = WriteTxnMarkersRequest.WritableTxnMarker
    marker = marker_of(
        producer_id=producer.producer_id,
        producer_epoch=producer.producer_epoch,
        transaction_result=committed,
        topics=[marker_of.WritableTxnMarkerTopic(name=at.topic, partition_indexes=[at.partition])],
        coordinator_epoch=max(producer.coordinator_epoch, 0),
    )
    manager = admin._manager
    (node,) = manager.cluster.brokers()
    response = manager.run(
        lambda: manager.send(WriteTxnMarkersRequest(markers=[marker]), node_id=node.node_id)
    )
    for result in response.markers:
        for topic in result.topics:
            for partition in topic.partitions:
                if partition.error_code:
                    raise errors.for_code(partition.error_code)(f"{at}, {producer}")
