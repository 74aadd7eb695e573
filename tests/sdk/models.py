"""Models for tests: real ones as MLflow saves them, and one that misbehaves as it is told."""

import warnings

# A model of no library: MLflow loads the module named here from the folder `code`.
MISBEHAVING = """
flavors:
  python_function:
    loader_module: misbehaving
    code: code
model_uuid: 00000000000000000000000000000000
utc_time_created: '2026-01-01 00:00:00.000000'
"""
CODE = '''
import os, signal, subprocess, sys, time
from pathlib import Path


def _load_pyfunc(path):
    return Model(Path(path))


class Model:
    def __init__(self, folder):
        self.folder = folder

    def predict(self, table, params=None):
        return getattr(self, str(table["do"][0]))(str(table["with"][0]))

    def environ(self, _):
        return dict(os.environ, folder=os.getcwd())

    def who(self, _):
        return [os.getpid(), len(sys.stdin.read())]

    def noise(self, _):
        print("{this is no answer}", flush=True)
        subprocess.run(["echo", "nor is this"], check=True)
        os.write(1, b"x" * 300_000)
        return [1.5, float("nan"), float("-inf")]

    def sleep(self, pids):
        """With a child of its own group, and one that left the session."""
        children = [
            subprocess.Popen(["sleep", "300"], start_new_session=apart, env=os.environ) for apart in (False, True)
        ]
        Path(pids).write_text(" ".join(str(pid) for pid in (os.getpid(), *(child.pid for child in children))))
        time.sleep(300)

    def leave_behind(self, pids):
        """Answers, with a child that still runs and a daemon: of another session, and nobody's child."""
        child = subprocess.Popen(["sleep", "300"])
        script = f"import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), file=open({pids!r}, 'a'), flush=True); time.sleep(300)"
        Path(pids).write_text(f"{child.pid} ")
        subprocess.run([sys.executable, "-c", script], check=True)
        while not Path(pids).read_text().endswith("\\n"):
            time.sleep(0.01)
        return [1]

    def allocate(self, _):
        self.kept = [bytearray(b"x" * (16 << 20)) for _ in range(1000)]

    def allocate_elsewhere(self, _):
        code = "kept = [bytearray(b'x' * (16 << 20)) for _ in range(1000)]"
        subprocess.run([sys.executable, "-c", code], start_new_session=True, check=True)

    def share(self, _):
        """300 MiB that four processes see and nobody has twice."""
        kept = b"x" * (300 << 20)
        for _ in range(3):
            if os.fork() == 0:
                time.sleep(300)
        time.sleep(0.5)
        return [len(kept)]

    def segfault(self, _):
        print("about to die", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)

    def fail(self, name):
        raise RuntimeError(f"cannot log in with {os.environ[name]}")

    def exit(self, name):
        print("x" * 5000, os.environ[name] * 500, file=sys.stderr, flush=True)
        os._exit(3)

    def scribble(self, _):
        os.write(int(sys.argv[2]), b"{not json}" + bytes([10]))
        time.sleep(300)

    def long(self, _):
        return ["x" * 1000] * 10_000

    def odd(self, _):
        return object()

    def borrow(self, _):
        import no_such_library
'''


def misbehaving(folder):
    """A folder with a model that does what its input says."""
    (folder / "code").mkdir(parents=True)
    (folder / "MLmodel").write_text(MISBEHAVING)
    (folder / "code" / "misbehaving.py").write_text(CODE)
    return folder


def told(what, argument=""):
    """An input for it."""
    return {"dataframe_split": {"columns": ["do", "with"], "data": [[what, str(argument)]]}}


def save_sklearn(model, folder, example=None, **more):
    """As the demo logs its models; with a signature where there is an example."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.sklearn
        from mlflow.models import infer_signature

        signature = infer_signature(example) if example is not None else None
        given = {"serialization_format": "pickle", "pip_requirements": ["scikit-learn"], "signature": signature}
        mlflow.sklearn.save_model(model, str(folder), **given, **more)
    return folder
