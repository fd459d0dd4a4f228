"""Candidates in hospitals that they were not trained in; rows shared between hospitals are excluded."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from training.arrays import Labels, Matrix
from training.data.frames import SITE, drop_shared_rows, features, site_rows, sites_of, target
from training.data.population import hospital_name
from training.estimates import bootstrap_weights
from training.evaluation.baseline import BASELINE, new_baseline_pipeline
from training.evaluation.inputs import EvaluationInputs
from training.evaluation.label_sets import label_set_coverage
from training.evaluation.metrics import Performance, hospital_performance, prevalence_brier, small_group_performance
from training.evaluation.recalibration_harm import ALL_SITES
from training.evaluation.results import HospitalResult
from training.evaluation.subgroups import patient_groups
from training.evaluation.uncertainty import label_limits, risks_by_pattern


def hospital_names(inputs: EvaluationInputs) -> dict[str, str]:
    """Return the name of each hospital that its rows identify, else the name of its file."""
    table = inputs.compiled.table
    sites = sites_of(inputs.all_hospitals)
    names = {site: hospital_name(site_rows(inputs.all_hospitals, site), site, table) for site in sites}
    return names if inputs.training_site is not None else {ALL_SITES: ALL_SITES, **names}


def evaluate_other_hospitals(inputs: EvaluationInputs, best: str) -> dict[str, HospitalResult]:
    """Train on the training rows and test in each other hospital: nowhere, if all hospitals train."""
    if inputs.training_site is None:
        return {}
    models = {**inputs.pipelines, BASELINE: new_baseline_pipeline(inputs.compiled, inputs.seed)}
    fitted = {name: clone(model).fit(inputs.matrix, inputs.labels) for name, model in models.items()}
    inner = risks_by_pattern(models[best]["classify"], inputs.matrix, inputs.labels, inputs.compiled, inputs.seed)
    limits = label_limits(inputs.labels, inputs.compiled.groups.of(inputs.matrix), inner, inputs.compiled)
    sites, others = {}, drop_shared_rows(inputs.all_hospitals)
    for site in sites_of(inputs.all_hospitals):
        rows = site_rows(others, site)
        if site == inputs.training_site or rows.empty:
            continue
        matrix, labels = features(rows), target(rows)
        risks = {name: model.predict_proba(matrix)[:, 1] for name, model in fitted.items()}
        sites[site] = HospitalResult(
            patients=len(labels),
            events=int(labels.sum()),
            prevalence_brier=prevalence_brier(labels),
            models={name: _hospital(labels, found, inputs) for name, found in risks.items()},
            coverage=label_set_coverage(matrix, labels, risks[best], limits, inputs.compiled),
            groups=_group_performance(matrix, labels, risks[best], inputs),
        )
    return sites


def _group_performance(
    matrix: Matrix, labels: Labels, risks: Matrix, inputs: EvaluationInputs
) -> dict[str, Performance]:
    """Measure one model in each patient group of a hospital."""
    return {
        name: small_group_performance(
            labels[mask],
            risks[mask],
            inputs.threshold,
            bootstrap_weights(int(mask.sum()), inputs.seed, inputs.depth.bootstraps),
        )
        for name, mask in patient_groups(matrix, inputs.compiled.table).items()
        if mask.any()
    }


def shared_rows(inputs: EvaluationInputs) -> dict[str, int]:
    """Count each hospital's rows that are also among the training rows or in an earlier hospital's file."""
    kept = drop_shared_rows(inputs.all_hospitals)
    sites = sites_of(inputs.all_hospitals)
    dropped = {site: int((inputs.all_hospitals[SITE] == site).sum() - (kept[SITE] == site).sum()) for site in sites}
    return {site: rows for site, rows in dropped.items() if rows}


def leave_one_hospital_out(inputs: EvaluationInputs) -> dict[str, dict[str, Performance]]:
    """Train on all other hospitals and test in the one that is left out."""
    found, everyone = {}, drop_shared_rows(inputs.all_hospitals)
    sites = sites_of(inputs.all_hospitals)
    for site in sites if len(sites) > 1 else ():
        rest, rows = everyone[everyone[SITE] != site], site_rows(everyone, site)
        if rows.empty or len(np.unique(target(rest))) < len((0, 1)):
            continue
        labels = target(rows)
        found[site] = {
            name: _hospital(
                labels, clone(model).fit(features(rest), target(rest)).predict_proba(features(rows))[:, 1], inputs
            )
            for name, model in inputs.pipelines.items()
        }
    return found


def _hospital(labels: Labels, risks: Matrix, inputs: EvaluationInputs) -> Performance:
    """Measure risks of one hospital's patients."""
    weights = bootstrap_weights(len(labels), inputs.seed, inputs.depth.bootstraps)
    return hospital_performance(labels, risks, inputs.threshold, weights)
