"""Faust on librdkafka, a record batch at a time. The only room that reaches into Faust.

One message that flows through Faust is a `Bundle` of `RecordBatch`es, so what Faust costs, it costs once a bundle.
Faust's own acknowledgements are off: only `Ledger` decides what may be committed. See docs/design/stream-engine.md.
"""
