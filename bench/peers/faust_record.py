"""Stock Faust, one record at a time: the way its guide begins, around the same scoring core."""

from __future__ import annotations

from typing import Any

from bench.peers.faust_take import new_app, run
from bench.task import Task
from schemas.records import Source


def main() -> None:
    """Score each record as it comes."""
    task = Task.from_command_line("bench.peers.faust_record", __doc__)
    app = new_app(task)
    patients: Any = app.topic(task.patients)
    scores: Any = app.topic(task.scores)

    async def score(stream: Any) -> None:
        async for event in stream.events():
            source = Source(event.message.topic, event.message.partition, event.message.offset)
            (value,) = task.score([event.value], [source])
            await scores.send(key=event.key, value=value)

    app.agent(patients, name="score")(score)
    run(app)


if __name__ == "__main__":
    main()
