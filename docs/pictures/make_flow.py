"""Draws docs/pictures/flow.svg: `python docs/pictures/make_flow.py`."""

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, picture


def boxes() -> list[str]:
    """Draw what there is."""
    return [
        box(20, 60, 130, 60, "outside", "your producer", "hospital systems"),
        box(200, 60, 130, 60, "topic", "patients", "Kafka topic"),
        box(
            400,
            30,
            200,
            120,
            "room",
            "worker",
            "Faust agent on librdkafka,",
            "batches, commits only",
            "what is confirmed",
        ),
        box(670, 20, 150, 56, "topic", "scores", "Kafka topic"),
        box(670, 104, 150, 56, "topic", "patients.dlq", "why, and the original"),
        box(870, 20, 124, 56, "outside", "your consumer"),
        box(400, 190, 200, 56, "room", "scoring core", "decode, check, score, encode"),
        box(20, 250, 130, 60, "outside", "your client", "HTTP"),
        box(200, 250, 130, 60, "room", "gateway", "POST /predict"),
        box(670, 190, 150, 56, "room", "model directory", "verified before use"),
        box(870, 190, 124, 56, "room", "training", "UCI data, MLflow"),
    ]


def arrows() -> list[str]:
    """Draw what flows."""
    return [
        arrow("150,90 196,90"),
        arrow("330,90 396,90"),
        arrow("600,70 666,48"),
        arrow("600,110 666,132"),
        arrow("820,48 866,48"),
        arrow("470,150 470,186", "bytes", 448, 172),
        arrow("530,190 530,154", "outcomes", 562, 176),
        arrow("150,280 196,280"),
        arrow("330,280 450,280 450,250", "the same code, the same bytes", 440, 300),
        arrow("670,218 604,218"),
        arrow("870,218 824,218"),
    ]


if __name__ == "__main__":
    drawn = picture(
        1010,
        330,
        "Records flow from the patients topic through the worker to the scores and dead letter topics; "
        "the gateway answers HTTP with the same scoring core.",
        *boxes(),
        *arrows(),
    )
    Path(__file__).with_name("flow.svg").write_text(drawn, encoding="utf-8")
