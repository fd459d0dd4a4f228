"""The two delivery guarantees: at-least-once and exactly-once.

Scores and dead letters can be larger or older than their topic accepts, or lack the key that it requires, and the
broker refuses whole batches with such records. Refused records are resent with the current time, in small groups,
those of more than a few kilobytes individually. What is refused again is replaced (`worker.substitutes`).
"""
