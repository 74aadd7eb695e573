from drkeeper.facts import Check, Facts, broken, compare, findings


def verdicts(witness, restored):
    return {check.subject: check.verdict for check in compare(witness, restored, system="db")}


def test_equal_facts_pass_and_different_ones_fail():
    witness = Facts(exact={"a": 1, "b": "x"})
    assert verdicts(witness, Facts(exact={"a": 1, "b": "y"})) == {"db.a": "passed", "db.b": "failed"}


def test_a_fact_that_is_gone_fails():
    assert verdicts(Facts(exact={"a": 1}), Facts()) == {"db.a": "failed"}
    assert verdicts(Facts(bounds={"a": (1, 2)}), Facts()) == {"db.a": "failed"}


def test_what_could_not_be_read_is_not_checked_on_either_side():
    assert verdicts(Facts(exact={"a": 1}), Facts(unread={"a": "permission denied"})) == {"db.a": "not checked"}
    assert verdicts(Facts(unread={"a": "permission denied"}), Facts(exact={"a": 1})) == {"db.a": "not checked"}
    assert verdicts(Facts(bounds={"a": (1, 2)}), Facts(unread={"a": "why"})) == {"db.a": "not checked"}


def test_bounds_are_met_by_a_number_or_by_bounds_that_touch_them():
    witness = Facts(bounds={"keys": (5, 9)})
    assert verdicts(witness, Facts(exact={"keys": 5})) == {"db.keys": "passed"}
    assert verdicts(witness, Facts(exact={"keys": 4})) == {"db.keys": "failed"}
    assert verdicts(witness, Facts(bounds={"keys": (9, 12)})) == {"db.keys": "passed"}
    assert verdicts(witness, Facts(bounds={"keys": (10, 12)})) == {"db.keys": "failed"}


def test_information_is_never_compared():
    assert verdicts(Facts(info={"version": "17"}), Facts(info={"version": "18"})) == {}


def test_findings_are_the_failures_only():
    checks = list(compare(Facts(exact={"a": 1, "b": 2}, unread={"c": "?"}), Facts(exact={"a": 1, "b": 3})))
    assert [check.subject for check in findings(checks)] == ["b"]


def test_a_warning_is_told_and_breaks_nothing():
    warning = Check(subject="a", verdict="failed", severity="warning")
    error = Check(subject="b", verdict="failed")
    assert findings([warning, error]) == [warning, error]
    assert broken([warning, error]) == [error]
