"""Faust on librdkafka, a record batch at a time. The only room that reaches into Faust.

One message that flows through Faust is one `RecordBatch`, so what Faust costs, it costs once a batch. Faust's own
acknowledgements are off: only `Ledger` decides what may be committed. See docs/design/stream-engine.md.
"""
