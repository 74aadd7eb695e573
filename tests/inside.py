"""Code of a test inside of the process in which a drill runs, which nobody can reach from outside."""


def inside_of_drills(monkeypatch, folder, code):
    """Have the processes of drills run this before they begin."""
    folder.mkdir()
    lines = ["import sys", "def intrude():", *(f"    {line}" for line in code.strip().splitlines())]
    lines += ["if 'drkeeper.drill_process' in sys.orig_argv:", "    intrude()"]
    (folder / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
