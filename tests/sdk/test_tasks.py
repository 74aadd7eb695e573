"""One task of MLflow's SDK in a process of its own: what it answers, and that it cannot hurt whoever asked."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from drkeeper.applications._sdk import Limits, TaskFailed, TaskTimedOut, TaskTooLarge, opened, run_task
from drkeeper.errors import Interrupted, ToolMissing
from sdk.models import misbehaving, save_sklearn, told

LIMITS = Limits(seconds=60, memory_bytes=1 << 30)


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """A model with a signature, one without, and the data that they were fitted to."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data = load_iris(as_frame=True)
    table = data.data.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    folder = tmp_path_factory.mktemp("iris")
    named, bare = (LogisticRegression(max_iter=500).fit(rows, data.target) for rows in (table, table.to_numpy()))
    save_sklearn(named, folder / "named", example=table, pyfunc_predict_fn="predict_proba")
    save_sklearn(bare, folder / "bare", pyfunc_predict_fn="predict_proba")
    return {"folder": folder, "named": named, "bare": bare, "table": table.iloc[::30]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(misbehaving(tmp_path_factory.mktemp("models") / "misbehaving"))


@pytest.fixture(scope="module")
def predict():
    """Asks one process for one prediction after the other: starting one for each takes longer than they do."""
    with opened("mlflow", limits=LIMITS) as session:
        yield lambda folder, given: session.ask("predict", {"folder": str(folder), "input": given})


def gone(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_prediction_is_the_one_of_the_same_model_in_process(iris):
    table = iris["table"]
    split = {"dataframe_split": {"columns": list(table.columns), "data": table.to_numpy().tolist()}}
    answer = run_task("predict", {"folder": str(iris["folder"] / "named"), "input": split}, limits=LIMITS)
    assert answer["prediction"] == iris["named"].predict_proba(table).tolist()
    assert answer["flavour"] == "sklearn"
    assert answer["mlflow"].startswith("3.")
    assert answer["python"] == ".".join(map(str, sys.version_info[:3]))


def test_rows_of_numbers_are_an_input_too(iris, predict):
    rows = iris["table"].to_numpy().tolist()
    answer = predict(iris["folder"] / "bare", rows)
    assert answer["prediction"] == iris["bare"].predict_proba(iris["table"].to_numpy()).tolist()


def test_records_are_an_input_too(iris, predict):
    records = iris["table"].to_dict(orient="records")
    answer = predict(iris["folder"] / "named", records)
    assert answer["prediction"] == iris["named"].predict_proba(iris["table"]).tolist()


def test_columns_of_a_feature_store_are_put_into_the_order_of_the_signature(iris, predict):
    table = iris["table"]
    mixed = list(reversed(table.columns))
    features = {"columns": [f"flowers__{name}" for name in mixed], "data": table[mixed].to_numpy().tolist()}
    answer = predict(iris["folder"] / "named", {"features": features})
    assert answer["columns"] == list(table.columns)
    assert answer["prediction"] == iris["named"].predict_proba(table).tolist()


def test_a_feature_that_the_model_wants_and_nobody_has_is_named(iris, predict):
    table = iris["table"].drop(columns="petal_width")
    features = {"columns": [f"flowers__{name}" for name in table.columns], "data": table.to_numpy().tolist()}
    with pytest.raises(TaskFailed, match="columns that the features lack: petal_width"):
        predict(iris["folder"] / "named", {"features": features})


def test_what_libraries_print_is_no_answer_and_what_json_lacks_becomes_words(model):
    answer = run_task("predict", {"folder": model, "input": told("noise")}, limits=LIMITS)
    assert answer["prediction"] == [1.5, "NaN", "-Infinity"]


def test_a_model_sees_nothing_of_our_environment_and_its_folder_is_gone_afterwards(model, monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI", "FEAST_REPO", "PGPASSWORD", "PYTHONPATH"):
        monkeypatch.setenv(name, "ours")
    answer = run_task("predict", {"folder": model, "input": told("environ")}, limits=LIMITS)
    seen = answer["prediction"]
    assert "ours" not in seen.values()
    assert seen["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert seen["HOME"] == seen["TMPDIR"] == seen["folder"] != os.environ["HOME"]
    assert not Path(seen["folder"]).exists()


def test_a_session_does_one_task_after_the_other_in_one_process(model, tmp_path):
    asked = {"folder": model, "input": told("who")}
    with opened("mlflow", limits=LIMITS) as session:
        first, read = session.ask("predict", asked)["prediction"]
        with pytest.raises(TaskFailed, match="predict: "):
            session.ask("predict", {"folder": model, "input": told("nothing_of_that_name")})
        assert session.ready
        assert session.ask("predict", asked)["prediction"] == [first, 0], "what is asked is not on a model's stdin"
        with pytest.raises(TaskTimedOut, match="no answer in 1 s"):
            session.ask("predict", {"folder": model, "input": told("sleep", tmp_path / "pids")}, seconds=1)
        assert not session.ready
    assert read == 0
    assert gone(first)


def test_a_model_that_hangs_is_killed_with_all_that_it_started(model, tmp_path):
    pids = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(TaskTimedOut, match="predict gave no answer in 6 s"):
        run_task("predict", {"folder": model, "input": told("sleep", pids)}, limits=Limits(seconds=6))
    assert time.monotonic() - began < 15
    assert len(pids.read_text().split()) == 3
    assert all(gone(pid) for pid in pids.read_text().split())


def test_what_a_model_leaves_behind_after_its_answer_is_killed_too(model, tmp_path):
    pids = tmp_path / "pids"
    answer = run_task("predict", {"folder": model, "input": told("leave_behind", pids)}, limits=LIMITS)
    assert answer["prediction"] == [1]
    assert len(pids.read_text().split()) == 2
    assert all(gone(pid) for pid in pids.read_text().split())


@pytest.mark.parametrize("where", ["allocate", "allocate_elsewhere"])
def test_a_model_that_takes_too_much_memory_is_killed_also_where_another_process_takes_it(model, where):
    with pytest.raises(TaskTooLarge, match=r"took \d+ MiB of memory, of 512 that it may") as failure:
        run_task("predict", {"folder": model, "input": told(where)}, limits=Limits(seconds=60, memory_bytes=512 << 20))
    assert "model_memory_bytes" in failure.value.hint


def test_memory_that_processes_share_counts_once(model):
    limits = Limits(seconds=60, memory_bytes=1000 << 20)
    answer = run_task("predict", {"folder": model, "input": told("share")}, limits=limits)
    assert answer["prediction"] == [300 << 20]


def test_a_model_that_dies_by_a_signal_is_told_with_its_last_words(model):
    with pytest.raises(TaskFailed, match=r"was ended by SIGSEGV: [\s\S]*about to die"):
        run_task("predict", {"folder": model, "input": told("segfault")}, limits=LIMITS)


def test_an_answer_that_somebody_else_wrote_is_none(model):
    with pytest.raises(TaskFailed, match="wrote over its answer"):
        run_task("predict", {"folder": model, "input": told("scribble")}, limits=LIMITS)


def test_an_answer_has_a_bound(model):
    with pytest.raises(TaskTooLarge, match="longer than 8 MiB"):
        run_task("predict", {"folder": model, "input": told("long")}, limits=LIMITS)


def test_a_prediction_that_cannot_be_recorded_says_so(model):
    with pytest.raises(TaskFailed, match="an answer of type object cannot be recorded"):
        run_task("predict", {"folder": model, "input": told("odd")}, limits=LIMITS)


def test_a_library_that_a_model_lacks_is_named(model):
    with pytest.raises(TaskFailed, match="No module named 'no_such_library'") as failure:
        run_task("predict", {"folder": model, "input": told("borrow")}, limits=LIMITS)
    assert failure.value.missing_module == "no_such_library"
    assert "name a Python that has what the model needs" in failure.value.hint


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_no_secret_is_in_a_message(model, how):
    password = "pa/ss wörd+ and no end of it"
    with pytest.raises(TaskFailed) as failure:
        run_task(
            "predict",
            {"folder": model, "input": told(how, "PASSWORD")},
            limits=LIMITS,
            environment={"PASSWORD": SecretStr(password)},
        )
    assert "***" in str(failure.value)
    assert "ss w" not in str(failure.value)


def test_a_python_without_the_sdk_is_told_what_it_lacks(tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    limits = Limits(python=str(bare / "bin" / "python"))
    with pytest.raises(ToolMissing, match="cannot import mlflow: ModuleNotFoundError") as failure:
        run_task("predict", {"folder": "x", "input": []}, limits=limits)
    assert "install mlflow>=3.15,<4 there" in failure.value.hint


def test_a_python_that_is_not_there_is_named():
    with pytest.raises(ToolMissing, match="no Python at /no/such/python"):
        run_task("predict", {"folder": "x", "input": []}, limits=Limits(python="/no/such/python"))


def test_whoever_stops_the_work_stops_the_task(model, tmp_path):
    pids, stop = tmp_path / "pids", threading.Event()
    stopper = threading.Thread(target=lambda: (wait_for(pids.exists), stop.set()))
    stopper.start()
    with pytest.raises(Interrupted):
        run_task("predict", {"folder": model, "input": told("sleep", pids)}, limits=LIMITS, stop=stop)
    stopper.join()
    assert all(gone(pid) for pid in pids.read_text().split())


def test_a_task_ends_with_whoever_asked_even_by_kill_9(model, tmp_path):
    pids = tmp_path / "pids"
    code = (
        "import sys; from drkeeper.applications._sdk import Limits, run_task; from sdk.models import told\n"
        "run_task('predict', {'folder': sys.argv[1], 'input': told('sleep', sys.argv[2])}, limits=Limits())"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    asker = subprocess.Popen([sys.executable, "-c", code, model, str(pids)], env=env)
    try:
        wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 3, 60)
        model_process, child, _ = pids.read_text().split()
        asker.send_signal(signal.SIGKILL)
        asker.wait()
        wait_for(lambda: gone(model_process) and gone(child))
    finally:
        asker.kill()
        for pid in pids.read_text().split()[2:] if pids.exists() else ():
            os.kill(int(pid), signal.SIGKILL)  # it left the session: nobody is there any more who knows it
