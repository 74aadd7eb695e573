"""What a drill proves of a point: that it comes back, and that what came back works."""

import pytest

from drkeeper.drill_proofs import proof_of, proof_of_use
from drkeeper.facts import Check
from drkeeper.objectives import exit_code_of, outcome_of
from drkeeper.report.html import render_html
from drkeeper.report.record import DrillRecord
from report_examples import good as example
from report_examples import passed

LEADS_SOMEWHERE = Check(subject="tracking.versions.objects", verdict="passed", detail="12 of 12 lead somewhere")
LEADS_NOWHERE = LEADS_SOMEWHERE.model_copy(
    update={"verdict": "failed", "detail": "1 of 12 leads nowhere: churn 3", "remedy": "restore the bucket"}
)
NOT_ASKED = Check(subject="features.online.skew", verdict="not checked", detail="Feast is not installed")


def good(**changes):
    return example(**{"checks": tuple(passed()), **changes})


def test_a_drill_without_applications_proves_nothing_of_use():
    record = good()
    assert proof_of(record, {"near"}).verdict == "passed"
    assert proof_of_use(record, {"near"}) is None


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([LEADS_SOMEWHERE], "passed"),
        ([LEADS_SOMEWHERE, NOT_ASKED], "not checked"),
        ([LEADS_SOMEWHERE, LEADS_NOWHERE], "failed"),
    ],
)
def test_use_is_proven_when_every_statement_was_put_to_the_test_and_held(said, verdict):
    record = good(usable=tuple(said))
    proof = proof_of_use(record, {"near"})
    assert (proof.level, proof.verdict) == ("usable", verdict)
    assert proof.findings == tuple(check for check in said if check.verdict == "failed")
    assert proof_of(record, {"near"}).verdict == "passed", "it came back, whatever applications say"


def test_what_did_not_come_back_as_it_was_is_not_usable():
    lost = Check(subject="mlflow-db.runs.rows", verdict="failed", detail="expected 2, found 1")
    record = good(checks=(lost,), usable=(LEADS_SOMEWHERE,))
    assert proof_of_use(record, {"near"}).verdict == "failed"


def test_a_platform_that_does_not_work_is_no_success():
    record = good(usable=(LEADS_NOWHERE,))
    assert (outcome_of(record), exit_code_of(record)) == ("verification failed", 5)
    page = render_html(record)
    assert "1 of 12 leads nowhere: churn 3" in page
    assert "restore the bucket" in page
    assert '<th scope="row">tracking</th>' in page


def test_a_record_says_nothing_of_what_older_ones_do_not_have():
    assert "usable" not in good().model_dump(mode="json")
    kept = good(usable=(LEADS_SOMEWHERE,))
    assert DrillRecord.model_validate_json(kept.model_dump_json()) == kept
