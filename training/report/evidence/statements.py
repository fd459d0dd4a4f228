"""What only a person can state about a model, and the file that states it.

No figure of a training run answers these questions. A statement is quoted with its file; without one, a document says
"not known", what is missing and who would know it.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Final

from schemas.errors import DataError

STATEMENTS: Final = {
    "background": "the clinical context, and existing models for the same outcome: ask the study's authors",
    "care_pathway": "where in the care pathway the risk is to be used: ask the clinic that will use it",
    "intended_users": "who is to use the model, and what they must be able to do: ask the clinic that will use it",
    "decision_role": "whether a risk informs, supports or replaces a decision: ask the clinic that will use it",
    "inequalities": "known health inequalities in the target population: ask public health, or the study's authors",
    "data_collection": "how and why the data were collected, and for which population: ask the owner of the data",
    "dates": "when the first and last patients were included, and the end of follow-up: ask the owner of the data",
    "setting": "the kind, number and location of the centres: ask the owner of the data",
    "eligibility": "who was included and excluded, and why: ask the owner of the data",
    "treatments": "which treatments patients received, and how they were handled: ask the owner of the data",
    "outcome_assessment": "how and when the outcome was determined, and if alike for all: ask the owner of the data",
    "outcome_assessors": "who determined the outcome, if that took judgement: ask the owner of the data",
    "outcome_blinding": "whether the outcome was determined without the predictors: ask the owner of the data",
    "predictor_choice": "why these predictors were measured and kept: ask the author of the feature table",
    "predictor_measurement": "how, when and how blinded the predictors were measured: ask the owner of the data",
    "predictor_assessors": "who assessed predictors that take judgement: ask the owner of the data",
    "demographics": (
        "which fields are race, ethnicity, language, sexual orientation, gender identity, sex, date of birth, social "
        "determinants of health or health status assessments: ask the author of the feature table"
    ),
    "representativeness": "which people the patients represent, by demographic group: ask the owner of the data",
    "relevance": "whether the training data resemble the place of use: ask the clinic that will use it",
    "threshold": "why this threshold was chosen: ask the clinic that will use it",
    "fairness": "which steps made the model fair, and why these: ask the model's developer",
    "ethics": "the ethics committee, its approval, and consent: ask the owner of the data",
    "consent": "whether patients are informed of this use, or consent to it: ask the clinic that will use it",
    "funding": "who paid for the work, and their role: ask the study's authors",
    "interests": "conflicts of interest: ask the study's authors",
    "protocol": "the study's protocol, or that there is none: ask the study's authors",
    "registration": "the study's registration, or that there is none: ask the study's authors",
    "data_sharing": "where the data are available, and who may use them: ask the owner of the data",
    "involvement": "how patients and the public took part, or that they did not: ask the study's authors",
    "follow_up": "how many patients were screened, excluded or lost: ask the owner of the data",
    "interpretation": "what the results mean beside earlier studies: ask the study's authors",
    "next_steps": "which research should follow: ask the study's authors",
    "developer": "name and contact of the model's developer: ask the organisation that trained it",
    "third_parties": "parts and data of third parties, beyond the libraries: ask the organisation that trained it",
    "release": "stage, date and countries of the release: ask the organisation that releases it",
    "regulatory_status": "approvals, risk class and declaration of conformity: ask the manufacturer or provider",
    "harmonised_standards": "which harmonised standards were applied: ask the manufacturer or provider",
    "risk_management": "the risk management system: ask the manufacturer or provider",
    "clinical_risk": "the clinical risk if a score is wrong: ask the clinic that will use it",
    "external_party": "who tested the model on other patients: ask the organisation that tested it",
    "impact": "studies of the model's effect on patients' outcomes: ask the clinic that uses it",
    "local_validity": "how right the risks are for local patients: run heartstream evaluate on them",
    "monitoring_schedule": "how often validity and fairness are checked, and who does it: ask the clinic that uses it",
    "update_schedule": "how often the model is updated or corrected, and who does it: ask the clinic that uses it",
    "user_interface": "the interface in which users see scores: ask the clinic that will use it",
    "operation": "hardware, systems around it, and form of delivery: ask the organisation that operates it",
    "publications": "publications about the model: ask the study's authors",
    "stakeholders": "who was consulted about the model: ask the organisation that trained it",
}
"""What a person is asked, by key."""


def read_statements(path: Path) -> tuple[dict[str, str], str]:
    """Read a TOML file of statements, texts by key; return them, and the file's name with its SHA-256.

    Raises DataError that lists every problem, and OSError.
    """
    content = path.read_bytes()
    try:
        found = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path.name} is not TOML: {error}") from error
    problems = [
        f"{path.name}: unknown key {key}; there are {', '.join(STATEMENTS)}" for key in found.keys() - STATEMENTS.keys()
    ]
    problems += [
        f"{path.name}: {key} must be a text that is not empty"
        for key, stated in found.items()
        if key in STATEMENTS and not (isinstance(stated, str) and stated.strip())
    ]
    if problems:
        raise DataError("\n".join(sorted(problems)))
    return found, f"{path.name} (SHA-256 {hashlib.sha256(content).hexdigest()[:16]})"
