"""Facts that several standards ask for. Those of the program name the page of the documentation that describes them."""

from __future__ import annotations

from typing import Final

from training.report.evidence.items import Fact

_OUT_OF_FOLD: Final = "report.missing_fields.none.@best.figures"

# The model and its purpose.
MODEL: Final = Fact("{manifest.best}, version {manifest.model_version}, for the feature table {manifest.feature_table}")
OUTCOME: Final = Fact("Outcome: {card.outcome}")
HORIZON: Final = Fact("Horizon of the outcome (ISO 8601): {table.outcome.horizon}")
INTENDED_USE: Final = Fact("{card.intended_use}")
DISCLAIMER: Final = Fact("{card.disclaimer}")
OUT_OF_SCOPE: Final = Fact("Out of scope: {card.out_of_scope}")
DEFECTS: Final = Fact("{card.known_defects}")
CAUTIONS: Final = Fact("{card.cautions}")
EQUATION: Final = Fact("The equation, with all coefficients, stands in the model card{?card.equations}")
FILES: Final = Fact("The manifest lists each file of the model with its SHA-256{?manifest.files}")
VERSIONS: Final = Fact("Software: {manifest.versions}")
REPRODUCIBLE: Final = Fact(
    "Seed {manifest.seed}; the same data, options and library versions give the same bytes", trained=True
)
PARAMETERS: Final = Fact("Parameters: {manifest.models.@best.params}")
THRESHOLD: Final = Fact("The label is positive at a risk of {manifest.threshold} or more")
SCORE: Final = Fact(
    "A risk (a probability) and a label; if switched on, interval, label set, reasons, missing fields and warnings",
    see="docs/models.md",
)

# The data.
PATIENTS: Final = Fact("{manifest.data.population}")
WHO: Final = Fact("The feature table says: {table.population.who}")
LICENCE: Final = Fact("Licence of the data: {table.population.licence}")
DATA: Final = Fact(
    "{report.data.name}: {report.data.rows} patients, {report.data.positives} with {report.event}; SHA-256 of the rows "
    "{report.data.sha256}"
)
TRAINING: Final = Fact("{card.training}")
RANGES: Final = Fact("Smallest and largest value: {report.population.ranges}")
CODES: Final = Fact("Patients with the outcome, of those with each code: {report.population.codes}")
MISSING: Final = Fact("Patients without each field: {report.population.missing}")
INCOMPLETE: Final = Fact("{report.population.incomplete} patients lack at least one field")
PREDICTORS: Final = Fact("{card.predictors}")
REQUIRED: Final = Fact("May not be missing: {card.required}")
SUBGROUP_NAMES: Final = Fact("group {@key}: {.@best.patients} patients", each="report.full.subgroups")
SAMPLE_SIZE: Final = Fact(
    "Of the logistic regression: {report.full.sample_size.patients} patients, {report.full.sample_size.events} events, "
    "{report.full.sample_size.parameters} parameters, {report.full.sample_size.events_per_parameter} events for each; "
    "Riley's criteria require {report.full.sample_size.for_shrinkage} patients for the shrinkage, "
    "{report.full.sample_size.for_optimism} for the optimism and {report.full.sample_size.for_prevalence} for the "
    "prevalence"
)
TRAINING_CHECKS: Final = Fact(
    "Training refuses illegal values, foreign codings, an inverted outcome, many duplicates and implausibly good "
    "results; it drops the remaining duplicates",
    see="docs/models.md",
    trained=True,
)
PREPROCESSED: Final = Fact("One preprocessor for all patients, fitted in each fold", see="docs/models.md", trained=True)
HANDLED: Final = Fact(
    "Quantities are not cut into classes; codes without an order are labels", see="docs/models.md", trained=True
)
ALL_ROWS: Final = Fact("No row is left out because a field is missing", see="docs/models.md", trained=True)
NO_WEIGHTS: Final = Fact("Training does not resample or weight the outcomes", see="docs/models.md", trained=True)

# Performance.
PERFORMANCE: Final = Fact(
    "Out of fold, {report.repeats} repeats, {report.missing_fields.none.@best.patients} patients, "
    "{report.missing_fields.none.@best.events} with the outcome: "
    f"ROC-AUC {{{_OUT_OF_FOLD}.roc_auc}}, Brier score {{{_OUT_OF_FOLD}.brier}}, log loss {{{_OUT_OF_FOLD}.log_loss}}"
)
CALIBRATION: Final = Fact(
    f"Out of fold, calibration slope {{{_OUT_OF_FOLD}.slope}}, intercept {{{_OUT_OF_FOLD}.intercept}}, mean risk minus "
    f"prevalence {{{_OUT_OF_FOLD}.bias}}"
)
LABELS: Final = Fact(
    f"Out of fold, at the threshold: sensitivity {{{_OUT_OF_FOLD}.recall}}, specificity {{{_OUT_OF_FOLD}.specificity}}"
)
INTERVALS: Final = Fact("Intervals are from {report.bootstraps} bootstrap samples of the patients")
COMPARED: Final = Fact(
    "{@key}, one cross-validation: ROC-AUC {.roc_auc}, log loss {.log_loss}", each="report.five_fold"
)
SELECTION: Final = Fact("Selected: {report.selection.best}; {report.selection.reason}")
TUNING: Final = Fact(
    "{@key}: {.parameter} tuned in each outer fold ({.by_fold}), on all rows {.on_all_rows}", each="report.full.tuning"
)
TUNED: Final = Fact(
    "{@key}, tuned in each fold: ROC-AUC {.figures.roc_auc}, slope {.figures.slope}",
    each="report.full.tuning_performance",
)
FIELDS_MISSING: Final = Fact(
    "missing {@key}: ROC-AUC {.@best.figures.roc_auc}, sensitivity {.@best.figures.recall}, mean risk minus prevalence "
    "{.@best.figures.bias}",
    each="report.missing_fields",
)
SUBGROUPS: Final = Fact(
    "{@key}: {.@best.patients} patients, {.@best.events} with the outcome, ROC-AUC {.@best.figures.roc_auc}, "
    "sensitivity {.@best.figures.recall}, specificity {.@best.figures.specificity}, mean risk minus prevalence "
    "{.@best.figures.bias}",
    each="report.full.subgroups",
)
NET_BENEFIT: Final = Fact(
    "net benefit at {.threshold}: {.net_benefit}, of treating all {.net_benefit_of_treating_all}",
    each="report.full.curves.thresholds",
)
STABILITY: Final = Fact(
    "{report.full.instability.models} bootstrap models: half of the patients' risks vary by more than "
    "{report.full.instability.median_width}; the label of {report.full.instability.changing} of them changes often"
)
LEAKAGE: Final = Fact(
    "Of the logistic regression: permuted labels are predicted with ROC-AUC {report.full.permuted_labels_roc_auc}"
)

# Other hospitals.
EXTERNAL: Final = Fact(
    "{@key}: {.patients} patients, {.events} with the outcome, ROC-AUC {.models.@best.figures.roc_auc}, Brier score "
    "{.models.@best.figures.brier}, slope {.models.@best.figures.slope}, mean risk minus prevalence "
    "{.models.@best.figures.bias}",
    each="report.full.other_hospitals",
)
HOSPITALS: Final = Fact("Hospitals of the training and test data: {report.full.hospitals}")
EXTERNAL_GROUPS: Final = Fact(
    "{@key}, sensitivity and specificity by group: {.groups}", each="report.full.other_hospitals"
)
LEFT_OUT: Final = Fact(
    "{@key} left out of training: ROC-AUC {.@best.figures.roc_auc}, Brier score {.@best.figures.brier}",
    each="report.full.leave_one_hospital_out",
)
ADAPTED: Final = Fact(
    "Adaptation ({.rung}) of {.model} {.base_version} ({.base_digest}) by {.patients} {.evidence}, {.events} with the "
    "outcome; cross-validated on them, ROC-AUC {.before.roc_auc} to {.after.roc_auc} and Brier score {.before.brier} "
    "to {.after.brier}",
    each="card.adaptations",
)

NOT_ADAPTED: Final = "the model directory records no adaptation"
NOT_TESTED: Final = "the training run evaluated no other hospital's patients"
NO_GROUPS: Final = "the report has no results by group: a full run has those of the feature table's subgroups"
QUICK: Final = "a quick run does not evaluate it: train without --quick"

# The program.
CODE: Final = Fact("Training and scoring code: heartstream, Apache License 2.0", see="README.md")
SAME_RISKS: Final = Fact(
    "A served model must reproduce scikit-learn's risks of its reference cases, at each load", see="docs/models.md"
)
RECALIBRATION: Final = Fact(
    "A model can be recalibrated or refitted by local patients, as far as they support", see="docs/adapt.md"
)
MONITORING: Final = Fact(
    "Worker and gateway export drift of inputs and risks; heartstream outcomes compares risks with outcomes",
    see="docs/drift.md",
)
VALIDATION: Final = Fact(
    "A record with an illegal value is rejected with its reasons; a missing field is named in the score, a value "
    "outside the training range gives a warning",
    see="docs/dead-letters.md",
)
CHANGE_PLAN: Final = Fact(
    "A change-control plan, if the model store has one, says which changes need no person; others are refused",
    see="docs/models.md",
)
SECURITY: Final = Fact("Signed models, authentication, encryption, and their limits", see="docs/security.md")
