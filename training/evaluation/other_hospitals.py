"""Models in hospitals that they were not trained in. No patient is trained on in one and tested in another."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from scoring.groups import groups_of
from training.arrays import Labels, Matrix
from training.data.dataset import SITES
from training.data.frames import TRAINING_SITE, apart, features, site_rows, target
from training.data.population import name_of
from training.estimates import samples
from training.evaluation.baseline import USUAL, new_usual_pipeline
from training.evaluation.inputs import Question
from training.evaluation.label_sets import coverage
from training.evaluation.metrics import Performance, counted, performance_elsewhere, prevalence_brier
from training.evaluation.results import Site
from training.evaluation.subgroups import groups
from training.evaluation.uncertainty import label_limits, risks_by_pattern


def hospitals(question: Question) -> dict[str, str]:
    """Name the hospitals whose rows prove them; of the others, their files."""
    return {site: name_of(site_rows(question.everyone, site), site) for site in SITES}


def elsewhere(question: Question, best: str) -> dict[str, Site]:
    """Train on the training rows, test in each other hospital."""
    models = {**question.pipelines, USUAL: new_usual_pipeline(question.seed)}
    fitted = {name: clone(model).fit(question.matrix, question.labels) for name, model in models.items()}
    inner = risks_by_pattern(models[best]["classify"], question.matrix, question.labels, question.seed)
    limits = label_limits(question.labels, groups_of(question.matrix), inner)
    sites, others = {}, apart(question.everyone)
    for site in SITES:
        rows = site_rows(others, site)
        if site == TRAINING_SITE or rows.empty:
            continue
        matrix, labels = features(rows), target(rows)
        risks = {name: model.predict_proba(matrix)[:, 1] for name, model in fitted.items()}
        sites[site] = Site(
            patients=len(labels),
            events=int(labels.sum()),
            prevalence_brier=prevalence_brier(labels),
            models={name: _hospital(labels, found, question) for name, found in risks.items()},
            coverage=coverage(matrix, labels, risks[best], limits),
            groups=_groups_elsewhere(matrix, labels, risks[best], question),
        )
    return sites


def _groups_elsewhere(matrix: Matrix, labels: Labels, risks: Matrix, question: Question) -> dict[str, Performance]:
    """Count how a model did on a hospital's patients of one sex, age or kind of chest pain."""
    return {
        name: counted(
            labels[who],
            risks[who],
            question.threshold,
            samples(int(who.sum()), question.seed, question.depth.bootstraps),
        )
        for name, who in groups(matrix).items()
        if who.any()
    }


def shared_rows(question: Question) -> dict[str, int]:
    """Count each hospital's rows that stand in the training rows or in an earlier hospital's file, too."""
    kept = apart(question.everyone)
    left = {site: int((question.everyone["site"] == site).sum() - (kept["site"] == site).sum()) for site in SITES}
    return {site: rows for site, rows in left.items() if rows}


def left_out(question: Question) -> dict[str, dict[str, Performance]]:
    """Train in all other hospitals, test in the one that was left out."""
    found, everyone = {}, apart(question.everyone)
    for site in SITES:
        rest, rows = everyone[everyone["site"] != site], site_rows(everyone, site)
        if rows.empty or len(np.unique(target(rest))) < len((0, 1)):
            continue
        labels = target(rows)
        found[site] = {
            name: _hospital(
                labels, clone(model).fit(features(rest), target(rest)).predict_proba(features(rows))[:, 1], question
            )
            for name, model in question.pipelines.items()
        }
    return found


def _hospital(labels: Labels, risks: Matrix, question: Question) -> Performance:
    """Measure patients of one hospital."""
    weights = samples(len(labels), question.seed, question.depth.bootstraps)
    return performance_elsewhere(labels, risks, question.threshold, weights)
