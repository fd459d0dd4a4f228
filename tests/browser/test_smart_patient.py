"""Laws of a patient of an EHR in the page: read from a real FHIR server, filled in, scored, and kept nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from heartstream.demo.processes import Child, predict
from tests.browser.accessible import violations
from tests.browser.launches import STORED, serving_ehr
from tests.browser.visit import READY, Visit
from tests.fakes.smart_server import Ehr
from tests.support.ehr_patients import DECEASED, NO_OBSERVATIONS, PATIENT, observations, patients
from tests.support.fhir_server import running_fhir_server

NAME = "Karin M. Testfall"
READ = {"age": 68, "sex": 0, "trestbps": 152, "chol": 231, "fbs": 0}


@pytest.fixture(scope="module")
def hospital(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, Ehr]]:
    """A gateway, and an EHR with HAPI's FHIR server and three patients."""
    with running_fhir_server() as fhir, serving_ehr(model_dir, tmp_path_factory.mktemp("smart"), fhir.url) as both:
        for resource in (*patients(), *observations()):
            fhir.put(resource)
        yield both


@pytest.fixture
def ehr(hospital: tuple[Child, Ehr]) -> Ehr:
    hospital[1].reset()
    return hospital[1]


@pytest.fixture
def at(browser, hospital: tuple[Child, Ehr]) -> Iterator[Visit]:
    context = browser.new_context()
    yield Visit(context.new_page(), hospital[0].url)
    context.close()


def launch(visit: Visit, ehr: Ehr, patient: str) -> None:
    visit.page.goto(ehr.launch_url(visit.url, patient))
    visit.page.wait_for_selector("#ehr-patient:visible")


def test_an_ehr_launch_fills_the_form_and_it_is_scored(at: Visit, ehr: Ehr, hospital: tuple[Child, Ehr]) -> None:
    """Many blood pressures, of several pages, do not hide an older cholesterol; the score is that of /predict."""
    launch(at, ehr, PATIENT)
    page = at.page
    assert page.inner_text("#ehr-patient") == f"{NAME}, born 1958-11-02, female"
    assert f"Filled in from {urlsplit(ehr.issuer).netloc}." in page.inner_text("#ehr")
    assert page.inner_text("#field-trestbps-source") == "FHIR, 2026-05-06"
    assert page.inner_text("#field-chol-source") == "FHIR, 2023-04-01"
    assert len([url for url in at.requests if "_getpages" in url]) == 1
    page.get_by_role("radiogroup", name="Chest pain").get_by_label("typical angina", exact=True).check()
    with page.expect_request("**/predict") as sent:
        page.get_by_role("button", name="Score this patient").click()
    page.wait_for_selector("#risk")
    record = json.loads(sent.value.post_data)
    assert {name: value for name, value in record.items() if value is not None} == {
        "patient_id": "page",
        "cp": 1,
        **READ,
    }
    expected = predict(hospital[0].url, sent.value.post_data.encode())
    assert page.inner_text("#risk") == f"{float(expected['risk']) * 100:.1f}%"
    assert page.is_visible("#ehr-patient")
    assert violations(page) == []


def test_a_standalone_launch_lets_the_ehr_choose_the_patient(at: Visit, ehr: Ehr) -> None:
    """The page offers its EHRs, and asks for a patient with launch/patient."""
    ehr.picked = PATIENT
    at.page.goto(at.url)
    at.page.wait_for_selector(READY)
    at.page.get_by_role("button", name=urlsplit(ehr.issuer).netloc).click()
    at.page.wait_for_selector("#ehr-patient:visible")
    assert NAME in at.page.inner_text("#ehr-patient")
    assert ehr.authorized[-1]["scope"] == "launch/patient openid fhirUser patient/*.rs"
    assert "launch" not in ehr.authorized[-1]


def test_nothing_of_the_patient_is_kept(at: Visit, ehr: Ehr, hospital: tuple[Child, Ehr]) -> None:
    """Not in storage, cookies or the URL; only the EHR and the gateway are contacted, and the gateway gets no name."""
    bodies: list[str] = []
    at.page.on("request", lambda request: bodies.append(request.post_data or ""))
    launch(at, ehr, PATIENT)
    assert at.page.evaluate(STORED) == [0, 0, ""]
    assert at.page.evaluate("indexedDB.databases().then((each) => each.length)") == 0
    assert at.page.url == f"{at.url}/"
    assert {urlsplit(url).netloc for url in at.foreign_requests()} == {
        urlsplit(each).netloc for each in (ehr.issuer, ehr.login_origin)
    }
    (bundle,) = [body for body in bodies if "resourceType" in body]
    assert [text for text in ("Testfall", "Karin", "MRN", "Musterstadt", "555-0100") if text in bundle] == []
    assert "1958-11-02" in bundle
    assert at.console == []
    log = hospital[0].log.read_text(encoding="utf-8")
    assert [text for text in (PATIENT, "Testfall", "1958") if text in log] == []


@pytest.mark.parametrize("button", ["Clear", "High risk"])
def test_the_name_goes_with_the_values(at: Visit, ehr: Ehr, button: str) -> None:
    """Once the form is cleared or has other values, the patient's name is not shown, nor in the document."""
    launch(at, ehr, PATIENT)
    at.page.get_by_role("button", name=button, exact=True).click()
    assert at.page.is_hidden("#ehr-patient")
    assert "Testfall" not in at.page.content()


def test_the_name_stays_with_its_values_if_another_launch_fails(at: Visit, ehr: Ehr) -> None:
    """A standalone launch that cannot begin changes neither the form nor the name."""
    launch(at, ehr, PATIENT)
    ehr.configuration_changes = {"authorization_endpoint": ""}
    at.page.get_by_role("button", name=urlsplit(ehr.issuer).netloc).click()
    at.page.wait_for_selector("#ehr [role=alert]")
    assert NAME in at.page.inner_text("#ehr-patient")
    assert at.page.input_value("#field-trestbps") == "152"


def test_without_observations_age_and_sex_are_filled(at: Visit, ehr: Ehr) -> None:
    """The page says that nothing was measured."""
    launch(at, ehr, NO_OBSERVATIONS)
    assert "has no Observations of these fields" in at.page.inner_text("#ehr")
    assert at.page.input_value("#field-chol") == ""
    assert at.page.locator('input[name="field-sex"][value="0"]').is_checked()


def test_a_patient_who_cannot_be_scored_is_not_shown(at: Visit, ehr: Ehr) -> None:
    """The reading's error is shown, and the form stays empty, without a name."""
    at.page.goto(ehr.launch_url(at.url, DECEASED))
    at.page.wait_for_selector("#problems:visible")
    assert "deceased" in at.page.inner_text("#problems")
    assert at.page.is_hidden("#ehr-patient")
    assert at.page.input_value("#field-age") == ""


@pytest.mark.parametrize(
    ("next_page", "warning"),
    [
        ("/fhir?_getpages=1", "Not all Observations were read: the server's next page"),
        ("", "does not sort them by date"),
    ],
)
def test_what_was_not_read_is_said(at: Visit, ehr: Ehr, next_page: str, warning: str) -> None:
    """A next page of another server is not requested, and a server that has more but sorts nothing is not believed."""

    def change(route) -> None:
        response = route.fetch()
        body = response.json()
        if body["total"] > 1:
            other = f"{ehr.login_origin}{next_page}" if next_page else f"{ehr.issuer}?page=2"
            body |= {"entry": [*reversed(body["entry"])] * 2, "link": [{"relation": "next", "url": other}]}
        route.fulfill(response=response, json=body)

    at.page.route(f"{ehr.issuer}/Observation?*", change)
    launch(at, ehr, PATIENT)
    assert warning in at.page.inner_text("#ehr")
    assert [url for url in at.requests if "_getpages" in url or "page=2" in url] == []


def test_the_name_stays_in_sight(at: Visit, ehr: Ehr) -> None:
    """It is visible at the end of the form, also at the width of a phone."""
    for width in (1200, 360):
        at.page.set_viewport_size({"width": width, "height": 740})
        launch(at, ehr, PATIENT)
        at.page.locator("#field-thal").scroll_into_view_if_needed()
        box = at.page.locator("#ehr-patient").bounding_box()
        assert box is not None
        assert 0 <= box["y"] < 200
        assert at.page.evaluate("document.documentElement.scrollWidth") == width
