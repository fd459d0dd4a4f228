"""Laws of the queue between Faust's conductor and the agent."""

from __future__ import annotations

import asyncio

from mode.utils.queues import FlowControlQueue

from worker.transport.driver import KeepingFlowControl


async def test_resuming_after_a_rebalance_keeps_what_is_queued() -> None:
    """A batch that waits for the agent keeps its place, where stock Faust would throw it away."""
    flow = KeepingFlowControl()
    queue: FlowControlQueue[str] = FlowControlQueue(maxsize=1, flow_control=flow, clear_on_resume=True)
    flow.resume()
    await asyncio.wait_for(queue.put("batch"), 5)
    flow.resume()
    assert queue.get_nowait() == "batch"
