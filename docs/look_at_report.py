"""Render the example drill records and photograph them: desktop, phone, dark, and as PDF. Needs chromium.

For those who change `src/drkeeper/report`: run `python docs/look_at_report.py FOLDER`, then look at the pictures. It
also measures, in a frame 360 px wide, that no page scrolls sideways, and exits 1 where one does.
"""

# ruff: noqa: T201, INP001
import html
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from drkeeper.report.html import render_html
from report_examples import EXAMPLES

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--allow-file-access-from-files",
)  # fmt: skip
_PHONE = """<body style="margin:0"><iframe src="{page}" width="360" height="{height}" style="border:0"
 onload="let d=this.contentDocument.documentElement;document.body.dataset.width=d.scrollWidth;
 document.body.dataset.height=d.scrollHeight"></iframe></body>"""


def main(folder: Path) -> int:
    """Write all pictures; the number of pages that scroll sideways, at most 1."""
    folder.mkdir(parents=True, exist_ok=True)
    too_wide = 0
    for name, example in EXAMPLES.items():
        page = folder / f"{name}.html"
        page.write_text(render_html(example()), encoding="utf-8")
        phone = folder / f"{name}-phone-frame.html"
        phone.write_text(_PHONE.format(page=html.escape(page.name), height=800), encoding="utf-8")
        dom = _browse(phone, "--dump-dom", "--virtual-time-budget=3000")
        width, height = (int(re.search(rf'data-{what}="(\d+)"', dom)[1]) for what in ("width", "height"))
        print(f"{name}: {width} px wide in a frame of 360 px")
        too_wide += width > 360  # noqa: PLR2004
        phone.write_text(_PHONE.format(page=page.name, height=height), encoding="utf-8")
        _browse(phone, f"--screenshot={folder / name}-phone.png", f"--window-size=520,{min(height, 6000)}")
        _browse(page, f"--screenshot={folder / name}.png", "--window-size=1100,2300")
        _browse(page, f"--screenshot={folder / name}-dark.png", "--window-size=1100,2300",
                "--blink-settings=preferredColorScheme=0")  # fmt: skip
        _browse(page, f"--print-to-pdf={folder / name}.pdf", "--no-pdf-header-footer")
    return min(too_wide, 1)


def _browse(page: Path, *flags: str) -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *_FLAGS, f"--user-data-dir={profile}", *flags, page.resolve().as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "drill-report-look")))
