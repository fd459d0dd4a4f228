"""The flow control queue between Faust's conductor and the agent."""

from __future__ import annotations

import asyncio

from mode.utils.queues import FlowControlQueue

from worker.kafka.faust_transport import KeepingFlowControl


async def test_resuming_after_a_rebalance_keeps_the_queue() -> None:
    """Stock Faust would drop a batch that waits for the agent."""
    flow = KeepingFlowControl()
    queue: FlowControlQueue[str] = FlowControlQueue(maxsize=1, flow_control=flow, clear_on_resume=True)
    flow.resume()
    await asyncio.wait_for(queue.put("batch"), 5)
    flow.resume()
    assert queue.get_nowait() == "batch"
