"""Draws docs/pictures/architecture.svg, what runs where: `python docs/pictures/make_architecture.py`."""

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, frame, picture


def kafka() -> list[str]:
    """Draw the topics."""
    topics = ("patients", "scores", "patients.dlq", "audit")
    rows = (box(230, 90 + 48 * row, 130, 36, "topic", name) for row, name in enumerate(topics))
    return [frame(210, 56, 170, 236, "Kafka"), *rows]


def boxes() -> list[str]:
    """Draw what there is."""
    return [
        frame(
            190, 20, 640, 500, "Kubernetes, namespace heartstream: restricted pods, all traffic denied but the arrows"
        ),
        box(20, 70, 130, 56, "outside", "producers", "hospital systems"),
        box(20, 160, 130, 56, "outside", "consumers"),
        box(20, 300, 130, 56, "outside", "clients, page", "HTTPS"),
        *kafka(),
        box(
            460,
            84,
            160,
            100,
            "room",
            "worker x 3",
            "Faust on librdkafka,",
            "a member of one group;",
            "health, metrics: 9100",
        ),
        box(230, 300, 130, 56, "outside", "Ingress", "TLS"),
        box(
            460,
            278,
            160,
            100,
            "room",
            "gateway x 3",
            "aiohttp: /predict,",
            "/model, /docs, page;",
            "health, metrics: 9100",
        ),
        box(670, 190, 140, 84, "room", "model volume", "/model/first", "/model/NAME ..."),
        box(670, 400, 140, 84, "room", "training", "CronJob, scikit-learn,", "MLflow's store"),
        box(230, 420, 130, 56, "room", "settings", "ConfigMap, Secrets"),
        box(870, 84, 130, 56, "outside", "Prometheus", "alerts, Grafana"),
        box(870, 190, 130, 56, "outside", "KEDA", "workers by lag"),
        box(870, 414, 130, 56, "outside", "UCI data", "a snapshot is inside"),
    ]


def arrows() -> list[str]:
    """Draw who talks to whom."""
    return [
        arrow("150,98 226,106"),
        arrow("230,156 154,184"),
        arrow("360,106 456,114"),
        arrow("456,140 364,156"),
        arrow("456,166 364,202"),
        arrow("150,328 226,328"),
        arrow("360,328 456,328"),
        arrow("456,296 364,254"),
        arrow("740,190 740,140 624,140", "verified, read-only", 685, 155),
        arrow("670,232 645,232 645,300 624,300"),
        arrow("740,400 740,278"),
        arrow("870,442 814,442"),
        arrow("870,112 624,112", "scrapes", 770, 104),
        arrow("870,218 845,218 845,172 624,172"),
        arrow("360,448 540,448 540,382"),
    ]


if __name__ == "__main__":
    drawn = picture(
        1020,
        540,
        "Producers and consumers reach Kafka, clients the gateway through an Ingress; three workers read patients and "
        "write scores and dead letters; both read models from a volume that training writes; Prometheus scrapes them.",
        *boxes(),
        *arrows(),
    )
    Path(__file__).with_name("architecture.svg").write_text(drawn, encoding="utf-8")
