"""The policy: what it accepts, how it complains, and that it never shows a secret."""

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drkeeper.systems
from drkeeper._policy.quantities import check_cron, format_duration, format_rate, parse_duration, parse_rate, parse_size
from drkeeper.errors import PolicyInvalid
from drkeeper.policy import find_policy, freeze_order, load_policy, merge_orders

REPOSITORY = Path(__file__).parents[1]
POLICIES = REPOSITORY / "policies"
SECRET = "correct-horse-battery"
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

KIND = """
from typing import Literal
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

class Tls(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    mode: Literal["prefer", "verify-full"] = Field("prefer", description="how")
    key_password: SecretStr | None = Field(None, description="of the key")

class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    host: str = Field(description="where")
    port: int = Field(9999, ge=1, le=65535, description="which port")
    password: SecretStr | None = Field(None, description="secret")
    tokens: list[SecretStr] = Field(default_factory=list, description="more secrets")
    databases: tuple[str, ...] = Field((), description="which")
    tls: Tls = Field(default_factory=Tls, description="tls")

    @model_validator(mode="after")
    def _no_devil(self):
        if self.host == "devil":
            raise ValueError(f"the devil's password is {self.password.get_secret_value()}")
        return self

def open_system(name, options):
    raise NotImplementedError
"""

MINIMAL = """\
version: 1
name: test
systems:
  db: {kind: pretend, host: localhost}
  cache: {kind: pretend, host: localhost}
vault:
  regions:
    primary: {url: file:///var/lib/vault}
"""


@pytest.fixture(autouse=True)
def third_party_kind(tmp_path, monkeypatch):
    """A kind of system that is really installed by somebody else: a distribution with an entry point."""
    site = tmp_path / "site"
    information = site / "drkeeper_pretend-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: drkeeper-pretend\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[drkeeper.systems]\npretend = drkeeper_pretend\n")
    (site / "drkeeper_pretend.py").write_text(KIND)
    monkeypatch.syspath_prepend(str(site))
    drkeeper.systems.kind_names.cache_clear()
    drkeeper.systems.load_kind.cache_clear()
    yield site
    sys.modules.pop("drkeeper_pretend", None)
    drkeeper.systems.kind_names.cache_clear()
    drkeeper.systems.load_kind.cache_clear()


@pytest.fixture
def load(tmp_path):
    def load(text, **environment):
        file = tmp_path / "p.yaml"
        file.write_text(text)
        return load_policy(file, environment)

    return load


@pytest.fixture
def problems(load):
    """The lines of the error that a policy leads to, without the file's folder."""

    def problems(text, **environment):
        with pytest.raises(PolicyInvalid) as caught:
            load(text, **environment)
        assert caught.value.exit_code == 2
        return [line.partition("p.yaml:")[2] for line in str(caught.value).splitlines()]

    return problems


def with_system(options):
    return MINIMAL.replace("db: {kind: pretend, host: localhost}", f"db: {options}")


# --- reading ---------------------------------------------------------------------------------------------


def test_a_minimal_policy_is_read_with_its_defaults(load):
    policy = load(MINIMAL)
    assert list(policy.systems) == ["db", "cache"]
    assert policy.systems["db"].kind == "pretend"
    assert policy.systems["db"].options.port == 9999
    assert policy.systems["db"].rate_bytes_per_second is None
    assert policy.vault.regions["primary"].local_folder == Path("/var/lib/vault")
    assert policy.retention is None
    assert policy.objectives.rto_seconds is None


def test_every_section_is_read(load):
    policy = load(
        MINIMAL
        + "  encryption: {recipients: ["
        + RECIPIENT
        + "], identity: '${env:ID}'}\n"
        + "objectives: {rto: 1h30m, rpo: 1d}\n"
        + "retention: {keep_daily: 7}\n"
        + 'schedules: {backup: "0 2 * * 1-5"}\n'
        + "sandbox: {folder: /srv/sandbox}\n",
        ID="AGE-SECRET-KEY-1XYZ",
    )
    assert policy.objectives.rto == timedelta(minutes=90)
    assert policy.objectives.rpo_seconds == 86400
    assert policy.retention.keep_daily == 7
    assert policy.schedules.backup == "0 2 * * mon,tue,wed,thu,fri"
    assert policy.schedules.drill is None
    assert policy.sandbox.folder == Path("/srv/sandbox")
    assert policy.vault.encryption.recipients == (RECIPIENT,)


def test_a_policy_cannot_be_changed_after_it_was_read(load):
    policy = load(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        policy.name = "other"


def test_aliases_and_merge_keys_of_yaml_work(load):
    text = MINIMAL.replace("db: {kind", "db: &base {kind").replace(
        "cache: {kind: pretend, host: localhost}", "cache: {<<: *base, host: other, port: 1}"
    )
    policy = load(text)
    assert policy.systems["cache"].options.host == "other"
    assert policy.systems["cache"].options.port == 1


def test_a_rate_is_the_policys_own_key_in_every_kind(load):
    policy = load(with_system("{kind: pretend, host: a, rate: 20MiB/s}"))
    assert policy.systems["db"].rate_bytes_per_second == 20 << 20


# --- references and secrets ------------------------------------------------------------------------------


def test_a_secret_comes_from_the_environment(load):
    policy = load(with_system('{kind: pretend, host: a, password: "${env:PW}"}'), PW=SECRET)
    assert policy.systems["db"].options.password.get_secret_value() == SECRET


def test_a_secret_of_digits_only_stays_text(load):
    policy = load(
        with_system("{kind: pretend, host: a, port: '${env:PORT}', password: '${env:PW}'}"), PW="007", PORT="7"
    )
    assert policy.systems["db"].options.password.get_secret_value() == "007"
    assert policy.systems["db"].options.port == 7


def test_a_secret_comes_from_a_file_beside_the_policy_without_its_last_newline(load, tmp_path):
    (tmp_path / "pw").write_text(f" {SECRET}\n")
    policy = load(with_system("{kind: pretend, host: a, password: '${file:pw}'}"))
    assert policy.systems["db"].options.password.get_secret_value() == f" {SECRET}"


def test_a_default_stands_in_for_a_variable_that_is_not_set(load):
    text = with_system("{kind: pretend, host: 'x-${env:HOST:-fallback}', port: 1}")
    assert load(text).systems["db"].options.host == "x-fallback"
    assert load(text, HOST="real").systems["db"].options.host == "x-real"


def test_a_doubled_dollar_is_no_reference(load):
    assert load(with_system("{kind: pretend, host: 'a$${b}'}")).systems["db"].options.host == "a${b}"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("${env:NOPE}", "the environment variable NOPE is not set"),
        ("${env:EMPTY}", "the environment variable EMPTY is empty"),
        ("${file:nope}", "nope cannot be read: No such file or directory"),
        ("${vault:x}", "${vault:x} is no reference; expected ${env:NAME} or ${file:path}"),
    ],
)
def test_a_reference_without_a_value_is_told_with_its_place(problems, reference, said):
    [line] = problems(with_system(f"{{kind: pretend, host: a, password: '{reference}'}}"), EMPTY="")
    assert line.startswith("4: systems.db.password: ")
    assert line.endswith(said)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (f"password: {SECRET}", "password"),
        (f"password: '{SECRET}${{env:PW}}'", "password"),
        (f"password: '${{env:NOPE:-{SECRET}}}'", "password"),
        (f"tokens: [{SECRET}]", "tokens[0]"),
        (f"tls: {{key_password: {SECRET}}}", "tls.key_password"),
        (f"password: [{SECRET}]", "password"),
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(load, options, key):
    with pytest.raises(PolicyInvalid) as caught:
        load(with_system(f"{{kind: pretend, host: a, {options}}}"), PW="x")
    assert f"systems.db.{key}: a secret stands in a policy by reference only" in str(caught.value)
    assert "${env:NAME}" in caught.value.hint
    assert SECRET not in str(caught.value)


def test_a_password_in_a_url_is_refused_and_not_repeated(problems):
    [line] = problems(MINIMAL.replace("file:///var/lib/vault", f"s3://user:{SECRET}@host/x"))
    assert line == "8: vault.regions.primary.url: a URL here holds a password"


def test_a_secret_key_among_the_recipients_is_not_repeated(problems):
    [line] = problems(MINIMAL + "  encryption: {recipients: [AGE-SECRET-KEY-1QQQ]}\n")
    assert line.startswith("9: vault.encryption.recipients[0]: this is a secret key")
    assert "QQQ" not in line


def test_no_dump_repr_or_error_shows_a_secret(load):
    text = with_system("{kind: pretend, host: '${env:HOST}', password: '${env:PW}', tokens: ['${env:PW}']}")
    policy = load(text, PW=SECRET, HOST="the-host")
    shown = policy.shown()
    assert shown["systems"]["db"]["password"] == "${env:PW}"
    assert shown["systems"]["db"]["host"] == "${env:HOST}"
    assert shown["systems"]["db"]["tokens"] == ["${env:PW}"]
    assert shown["systems"]["cache"]["port"] == 9999
    for text in (json.dumps(shown), repr(policy), str(policy), policy.model_dump_json(), repr(policy._written)):
        assert SECRET not in text
    assert policy.secret_values() == (SECRET, SECRET)


def test_an_error_about_a_referenced_value_shows_the_reference(load):
    with pytest.raises(PolicyInvalid) as caught:
        load(with_system("{kind: pretend, host: a, port: '${env:PW}'}"), PW=SECRET)
    assert 'systems.db.port: expected a whole number, found "${env:PW}"' in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_kinds_own_message_cannot_give_a_secret_away(load):
    with pytest.raises(PolicyInvalid) as caught:
        load(with_system("{kind: pretend, host: devil, password: '${env:PW}'}"), PW=SECRET)
    assert "the devil's password is ${env:PW}" in str(caught.value)
    assert SECRET not in str(caught.value)


# --- errors in words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{kind: pretnd, host: a}", 'kind: unknown kind "pretnd"; did you mean "pretend"?'),
        ("{host: a}", "kind: this key is missing; expected one of: "),
        ("{kind: 5, host: a}", "kind: expected one of: "),
        ("{kind: pretend}", "host: this key is missing"),
        ("{kind: pretend, host: a, prt: 5}", 'prt: unknown key; did you mean "port"?'),
        ("{kind: pretend, host: a, rat: 1MB/s}", 'rat: unknown key; did you mean "rate"?'),
        ("{kind: pretend, host: a, zzz: 5}", "zzz: unknown key; expected one of: kind, rate, host, port"),
        ("{kind: pretend, host: a, port: x}", 'port: expected a whole number, found "x"'),
        ("{kind: pretend, host: a, port: 0}", "port: expected 1 or more, found the number 0"),
        ("{kind: pretend, host: 5}", "host: expected text, found the number 5; put it in quotes"),
        ("{kind: pretend, host: a, databases: x}", 'databases: expected a list, found "x"'),
        ("{kind: pretend, host: a, databases: [x, {}]}", "databases[1]: expected text, found a mapping"),
        ("{kind: pretend, host: a, tls: {mode: full}}", "tls.mode: expected one of 'prefer' or 'verify-full', found"),
        ("{kind: pretend, host: a, tls: {mod: full}}", 'tls.mod: unknown key; did you mean "mode"?'),
        ("{kind: pretend, host: a, tls: 5}", "tls: expected a mapping, found the number 5"),
        ("{kind: pretend, host: a, rate: fast}", 'rate: expected a bandwidth such as 50MB/s or 20MiB/s, found "fast"'),
        ("[a]", "expected a mapping with kind and the system's options, found a list"),
    ],
)
def test_a_wrong_system_is_told_in_words(problems, options, said):
    [line] = problems(with_system(options))
    assert line.startswith("4: systems.db")
    assert said in line


@pytest.mark.parametrize(
    ("addition", "said"),
    [
        (
            "objectives: {rto: 4}",
            "9: objectives.rto: expected a duration such as 4h, 90m, 1d or 1h30m, found the number 4",
        ),
        ("retention: {keep_lst: 4}", '9: retention.keep_lst: unknown key; did you mean "keep_last"?'),
        ("retention: {keep_last: 0}", "9: retention: these rules say nothing"),
        ("retention: {keep_last: -1}", "9: retention.keep_last: expected 0 or more, found the number -1"),
        (
            "schedules: {backup: '0 25 * * *'}",
            "9: schedules.backup: expected the hour as *, */n, or numbers from 0 to 23",
        ),
        ("schedule: {backup: '0 25 * * *'}", '9: schedule: unknown key; did you mean "schedules"?'),
        ("applications: {a: {order: [db, cash]}}", '9: applications.a.order[1]: unknown system "cash"; did you mean'),
        ("applications: {a: {order: [db, db]}}", '9: applications.a.order[1]: the system "db" is named twice'),
        ("applications: {a: {order: []}}", "9: applications.a.order: expected at least 1 of them"),
        (
            "applications: {a: {order: [db, cache]}, b: {order: [cache, db]}}",
            "9: applications: no order of freezing is possible: db before cache (a), cache before db (b)",
        ),
        ("    copy: {url: file:///var/lib/vault/}", "9: vault.regions.copy: this is the same place as region primary"),
        ("    Copy: {url: file:///x}", "9: vault.regions.Copy: a name is made of lower-case letters"),
        ("    copy: {url: ftp://x}", "9: vault.regions.copy: url must be an absolute folder or start with"),
    ],
)
def test_a_wrong_section_is_told_in_words(problems, addition, said):
    [line] = problems(MINIMAL + addition + "\n")
    assert line.startswith(said)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems):
    lines = problems(
        "version: 2\n"
        "name: X y\n"
        "systems:\n"
        "  db:\n"
        "    kind: pretend\n"
        "    hots: a\n"
        "    port: x\n"
        "vault:\n"
        "  regions:\n"
        "    primary: {ulr: x}\n"
        "retension: {}\n"
    )
    assert [line.partition(": ")[2] for line in lines] == [
        "version: expected one of 1, found the number 2",
        "name: a name is made of lower-case letters, digits, '-', '_' and '.', 63 at most",
        "systems.db.host: this key is missing",
        'systems.db.hots: unknown key; did you mean "host"?',
        'systems.db.port: expected a whole number, found "x"',
        "vault.regions.primary.url: this key is missing",
        'vault.regions.primary.ulr: unknown key; did you mean "url"?',
        'retension: unknown key; did you mean "retention"?',
    ]
    assert [int(line.partition(":")[0]) for line in lines] == [1, 2, 4, 6, 7, 10, 10, 11]


def test_a_duplicate_key_is_told_with_both_lines(problems):
    [line] = problems(MINIMAL + "name: again\n")
    assert line == "9: name: this key is here twice (first on line 2)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [b", "1: this is no YAML"),
        ("a: b: c", "1: this is no YAML"),
        ("a: &x {b: *x}", "1: an alias holds itself, or values lie too deep"),
        ("a: *nope", "1: this is no YAML"),
        ("[1]", "1: expected a mapping with version, name, systems"),
        ("- \x07", "1: this is no YAML"),
    ],
)
def test_what_is_no_policy_at_all_is_told(problems, text, said):
    assert problems(text)[0].startswith(said)


def test_an_empty_file_lacks_everything_that_is_required(problems):
    assert {line.split(": ")[1] for line in problems("")} == {"version", "name", "systems", "vault"}


def test_an_alias_bomb_is_refused(problems, load):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    with pytest.raises(PolicyInvalid, match="more values than a policy can hold"):
        load(bomb)


def test_a_kind_that_does_not_import_is_told(problems, third_party_kind):
    (third_party_kind / "drkeeper_pretend.py").write_text("import a_module_that_is_not_there\n")
    sys.modules.pop("drkeeper_pretend", None)
    lines = problems(MINIMAL)
    assert "the kind pretend cannot be used: No module named 'a_module_that_is_not_there'" in lines[0]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"x" * (5 << 20)])
def test_a_file_that_cannot_be_read_is_told(tmp_path, content):
    file = tmp_path / "p.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PolicyInvalid, match=re.escape(str(file))):
        load_policy(file, {})


# --- where it is -----------------------------------------------------------------------------------------


def test_the_policy_is_looked_for_where_it_was_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drkeeper.yaml").touch()
    assert find_policy(Path("given.yaml"), {"DRKEEPER_POLICY": "env.yaml"}) == Path("given.yaml")
    assert find_policy(None, {"DRKEEPER_POLICY": "env.yaml"}) == Path("env.yaml")
    assert find_policy(None, {}) == Path("drkeeper.yaml")


def test_no_policy_anywhere_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if Path("/etc/drkeeper/drkeeper.yaml").exists():
        pytest.skip("this machine has a policy of its own")
    with pytest.raises(PolicyInvalid, match="no policy") as caught:
        find_policy(None, {})
    assert "drkeeper init" in caught.value.hint


# --- freeze order ----------------------------------------------------------------------------------------


def test_systems_are_frozen_in_the_policys_order_where_nothing_else_is_said(load):
    assert freeze_order(load(MINIMAL)) == ("db", "cache")


def test_an_application_puts_what_refers_first(load):
    assert freeze_order(load(MINIMAL + "applications: {a: {order: [cache, db]}}\n")) == ("cache", "db")


def test_orders_merge_and_what_nobody_names_keeps_its_place():
    orders = {"one": ("d", "b"), "two": ("b", "a")}
    assert merge_orders(["a", "b", "c", "d", "e"], orders) == ("c", "d", "b", "a", "e")


def test_a_circle_over_three_applications_is_named():
    orders = {"x": ("a", "b"), "y": ("b", "c"), "z": ("c", "a")}
    with pytest.raises(PolicyInvalid) as caught:
        merge_orders(["free", "a", "b", "c"], orders)
    for edge in ("a before b (x)", "b before c (y)", "c before a (z)"):
        assert edge in str(caught.value)
    assert "free" not in str(caught.value).partition("possible")[2]


@given(st.permutations(range(8)), st.lists(st.lists(st.integers(0, 7), unique=True, min_size=2), max_size=4))
def test_a_merged_order_respects_each_application_that_follows_one_hidden_order(hidden, picks):
    orders = {str(index): tuple(str(n) for n in hidden if n in pick) for index, pick in enumerate(picks)}
    merged = merge_orders([str(n) for n in range(8)], orders)
    assert sorted(merged) == [str(n) for n in range(8)]
    for order in orders.values():
        assert [name for name in merged if name in order] == list(order)


# --- quantities ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("4h", 14400), ("90m", 5400), ("1d", 86400), ("1h30m", 5400), ("1.5h", 5400), ("2w", 1209600)]
)
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "4", "h", "4 hours", "-4h", "0s", "4h ago", 4, None, "9" * 30 + "w"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@given(st.integers(1, 10**9))
def test_a_duration_is_written_so_that_it_reads_the_same(seconds):
    assert parse_duration(format_duration(timedelta(seconds=seconds))).total_seconds() == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("1kB", 1000), ("1xB", None), ("50MB", 50_000_000), ("20MiB", 20 << 20), ("1.5 GB", 1_500_000_000)],
)
def test_a_size_is_read(text, size):
    if size is None:
        with pytest.raises(ValueError, match="expected a size"):
            parse_size(text)
    else:
        assert parse_size(text) == size


@given(st.integers(1, 1 << 50))
def test_a_rate_is_written_so_that_it_reads_the_same(rate):
    assert parse_rate(format_rate(rate)) == rate


@pytest.mark.parametrize("text", ["50MB", "fast", "0MB/s", "0.1B/s", "-1MB/s", 0, True, None])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="expected a bandwidth"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("0 2 * * *", "0 2 * * *"),
        ("*/5 1,3-7/2 1 jan-mar *", "*/5 1,3-7/2 1 jan-mar *"),
        ("0 0 * * 0", "0 0 * * sun"),
        ("0 0 * * 7", "0 0 * * sun"),
        ("0 0 * * 1-5", "0 0 * * mon,tue,wed,thu,fri"),
        ("0 0 * * 5-7", "0 0 * * sun,fri,sat"),
        ("0 0 * * Sun,3", "0 0 * * sun,wed"),
        ("0 0 * * */2", "0 0 * * sun,tue,thu,sat"),
    ],
)
def test_a_cron_line_is_read_with_the_days_of_the_week_by_name(line, meant):
    assert check_cron(line) == meant


@pytest.mark.parametrize(
    "line",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "x * * * *",
        "@daily",
        5,
    ],
)
def test_what_is_no_cron_line_is_refused(line):
    with pytest.raises(ValueError, match="expected"):
        check_cron(line)


def test_the_scheduler_takes_every_cron_line_that_a_policy_may_hold():
    from apscheduler.triggers.cron import CronTrigger

    for line in (
        "*/5 1,3-7/2 1 jan-mar *",
        "0 0 * * 0",
        "0 0 * * 5-7",
        "0 0 * * */2",
        "0 5 1 */3 *",
        "0-59/7 * 1-31 * sat",
    ):
        CronTrigger.from_crontab(check_cron(line), timezone="UTC")


# --- what is in the repository ---------------------------------------------------------------------------


@pytest.fixture
def own_kinds():
    missing = {"postgres", "redis"} - set(drkeeper.systems.kind_names())
    if missing:
        pytest.skip(f"these kinds are not there: {missing}")


def without_third_parties(third_party_kind):
    sys.path.remove(str(third_party_kind))
    drkeeper.systems.kind_names.cache_clear()


def test_the_committed_schema_is_current(own_kinds):
    made = subprocess.run(
        [sys.executable, "-m", "drkeeper.policy"], capture_output=True, text=True, check=True, timeout=60
    )
    assert made.stdout == (POLICIES / "policy.schema.json").read_text(), "run `make docs`"


@pytest.mark.parametrize("name", ["minimal", "production"])
def test_an_example_policy_fits_the_schema_and_loads(own_kinds, name, tmp_path):
    import jsonschema
    from ruamel.yaml import YAML

    file = POLICIES / f"{name}.yaml"
    schema = json.loads((POLICIES / "policy.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(YAML(typ="safe").load(file.read_text()))

    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    copy = tmp_path / file.name
    copy.write_text(re.sub(r"\$\{file:[^}]+\}", f"${{file:{secret}}}", file.read_text()))
    variables = dict.fromkeys(re.findall(r"\$\{env:(\w+)", file.read_text()), SECRET)
    policy = load_policy(copy, variables)
    assert len(freeze_order(policy)) == len(policy.systems)
    assert SECRET not in json.dumps(policy.shown())


@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        ("password", "${env:X}", True),
        ("password", "literal", False),
        ("port", "${env:PORT}", True),
        ("port", 6380, True),
        ("port", "six", False),
        ("capture", "${env:HOW}", True),
        ("capture", "never", False),
        ("rate", "50MB/s", True),
        ("rate", "50MB", False),
        ("hots", "x", False),
    ],
)
def test_the_schema_takes_references_everywhere_and_no_literal_secret(own_kinds, key, value, fits):
    import jsonschema

    schema = json.loads((POLICIES / "policy.schema.json").read_text())
    document = {
        "version": 1,
        "name": "x",
        "systems": {"cache": {"kind": "redis", "host": "h", key: value}},
        "vault": {"regions": {"primary": {"url": "/x"}}},
    }
    assert jsonschema.Draft202012Validator(schema).is_valid(document) == fits


def test_a_third_partys_kind_is_in_the_schema_too():
    from drkeeper._policy.schema import policy_schema

    schema = policy_schema()
    assert "pretend" in schema["$defs"]["System"]["properties"]["kind"]["enum"]
    assert schema["$defs"]["System_pretend"]["properties"]["password"]["anyOf"][0]["pattern"].startswith("^")


def test_importing_the_policy_stays_light():
    script = "import sys, drkeeper.policy; print([m for m in ('obstore', 'psycopg', 'ruamel', 'rich', 'structlog') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"
