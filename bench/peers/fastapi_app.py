"""FastAPI and scikit-learn, as most tutorials have it: a Pydantic model, a data frame of one row, a saved pipeline."""

from __future__ import annotations

import os

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
pipeline = joblib.load(os.environ["PIPELINE"])


class Patient(BaseModel):
    """A patient record."""

    patient_id: str
    age: float
    sex: float
    cp: float
    trestbps: float | None
    chol: float | None
    fbs: float | None
    restecg: float | None
    thalach: float | None
    exang: float | None
    oldpeak: float | None
    slope: float | None
    ca: float | None
    thal: float | None


@app.get("/health")
def health() -> dict[str, str]:
    """Say that the server is there."""
    return {"status": "ok"}


@app.post("/predict")
def predict(patient: Patient) -> dict[str, float]:
    """Score one patient."""
    frame = pd.DataFrame([patient.model_dump(exclude={"patient_id"})]).astype(float)
    return {"risk": float(pipeline.predict_proba(frame)[0, 1])}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="error", access_log=False)
