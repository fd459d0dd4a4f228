"""What the model card says in words. Nothing here is a result: figures come from the report."""

from __future__ import annotations

from typing import Final

DISCLAIMER: Final = (
    "Research and education only. Not a medical device, not for diagnosis or treatment decisions. Trained on 303 "
    "patients referred for coronary angiography in 1981-84; not validated for present-day or unselected patients."
)
INTENDED: Final = (
    "To show, on public data, a scoring service that is honest about missing values, uncertainty and limits: for "
    "data and machine-learning engineers who build such services, and for clinicians and students who judge what "
    "they say."
)
OUT_OF_SCOPE: Final = (
    "decisions about a patient's diagnosis, tests or treatment",
    "people who were not referred for angiography: the risk is that of a referred patient",
    "other outcomes, such as infarction or death, and any time ahead: the outcome was seen at the time of the tests",
    "records in Kaggle's coding of this data, which means other things by the same codes",
)
TRAINING: Final = (
    "Consecutive patients referred for coronary angiography at the Cleveland Clinic, 1981 to 1984, without "
    "earlier infarction or valve disease (Detrano et al., Am J Cardiol 1989). Patients of Budapest (1983-87), "
    "Zurich and Basel (1984-85) and Long Beach VA (1983-87) test the model and do not train it. Values that mean "
    "“not measured” (0 for pressure, cholesterol and heart rate; -9) count as missing. Everything that learns, "
    "scaling included, is fitted inside each fold. A record that lacks fields is scored by the sub-model that was "
    "trained without them; the six training rows that lack one have the average of the others in sub-models that "
    "use it."
)
CHOSEN_HERE: Final = (
    "The penalty of the regressions and the leaves of the forest were chosen on the same patients, and so was the best "
    "model: the figures are a little better than new patients would give. Nested tuning, below in a full run, is free "
    "of the former."
)
DELETED: Final = (
    "The fields were deleted from the records of Cleveland's patients, whoever they were. In a hospital a test is left "
    "out for a reason, which the model does not know: see the other hospitals."
)
KNOWN_DEFECTS: Final = (
    (
        "Age hardly counts once heart rate and vessels are known, and if at all it lowers the risk: a trait of these "
        "patients, not of hearts."
    ),
    (
        "Elsewhere risks are off: far too low in Zurich and Basel, where nearly all have disease and telling everybody "
        "the prevalence would be better; too high in Budapest (see the hospitals)."
    ),
    "The ranking holds in Budapest and is weaker in Zurich, Basel and Long Beach.",
    "ca and thal come close to the outcome itself: where they are known, much of the work has been done.",
    (
        "Typical angina lowers the risk, and having no pain raises it most: presumably patients without pain were "
        "referred for other findings. In practice typical angina speaks for disease."
    ),
    (
        "Codes that few patients have (a downsloping ST segment, a fixed defect, an ST-T abnormality) hardly count, "
        "whatever they mean to a physician: the penalty draws them to nothing."
    ),
    "Sensitivity is low where chest pain is not asymptomatic: see the groups.",
    "Only 25 of 97 women had disease: what is said of women is uncertain.",
    "Label sets keep their promise for patients like Cleveland's alone.",
)
RECALIBRATION: Final = (
    "Compare risks with outcomes of at least 50 local patients, and shift the intercept by their difference in "
    "log-odds; to refit the slope takes at least 100. Without that, do not read the risk as a share of local "
    "patients."
)
CAUTIONS: Final = (
    "The prevalence is that of referred patients of the 1980s. The outcome, 50% narrowing seen by eye, is not "
    "what is used today. Whether software like this is a medical device is decided by what it is used for (EU MDR "
    "rule 11; FDA, Clinical Decision Support Software, 2026)."
)
ASSESSMENT: Final = {
    "TRIPOD+AI 4-5 source and participants": "reported; 1980s, four hospitals, referred for angiography",
    "TRIPOD+AI 7-8 outcome and predictors": "reported, with units; who judged the angiograms is not told by the data",
    "TRIPOD+AI 10 sample size": "reported; slightly under what Riley's criteria ask",
    "TRIPOD+AI 11 missing data": "sub-models, the same in development, evaluation and use",
    "TRIPOD+AI 12 analysis": (
        "nested and repeated cross-validation, external validation; the rule of choice is code, but was not fixed "
        "before the results"
    ),
    "TRIPOD+AI 14 fairness": "by sex and age; race, ethnicity and income are not in the data",
    "TRIPOD+AI 18 open science": "data, code, seeds and versions are public; no protocol was registered",
    "TRIPOD+AI 23-24 performance and updating": "with intervals, by hospital and group; a recalibration is described",
    "PROBAST+AI participants": "high risk of bias: only those who were sent to angiography (verification, spectrum)",
    "PROBAST+AI predictors": "high risk: ca and thal were measured close to the outcome, and not alike elsewhere",
    "PROBAST+AI outcome": "unclear: read by eye, readers may have known the predictors",
    "PROBAST+AI analysis": "high risk: some 300 patients",
    "PROBAST+AI applicability": "high concern: 1980s, referred patients, tests that are rarely done today",
}
