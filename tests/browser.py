"""Chromium without a window: pages are opened in frames of several widths, and asked what they look like."""

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
_LOOK = """
function rgb(text) { return text.match(/[0-9.]+/g).map(Number); }
function light([r, g, b]) {
  const part = value => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
}
function ground(element, view) {
  for (let at = element; at; at = at.parentElement) {
    const colour = rgb(view.getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
}
function look(frame) {
  const view = frame.contentWindow, page = frame.contentDocument, wide = [], faint = [];
  for (const element of page.body.querySelectorAll('*')) {
    const style = view.getComputedStyle(element), box = element.getBoundingClientRect();
    const bare = element.closest('.unseen, svg, template, thead') || !element.checkVisibility();
    if (bare) continue;
    if (box.right > view.innerWidth + 1) wide.push(element.tagName + ' ' + element.textContent.slice(0, 40));
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own) continue;
    const [a, b] = [light(rgb(style.color)), light(ground(element, view))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push(ratio.toFixed(2) + ' ' + element.textContent.slice(0, 40));
  }
  const parts = [...page.querySelectorAll('.part')].filter(part => part.getBoundingClientRect().height > 30);
  const plots = [...page.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().width > 0);
  return {
    scroll: page.documentElement.scrollWidth, width: view.innerWidth, height: page.documentElement.scrollHeight, wide, faint, parts: parts.map(part => part.id),
    requests: view.performance.getEntriesByType('resource').map(entry => entry.name), scripts: page.scripts.length,
    plots: plots.length, letters: plots.flatMap(svg => [...svg.querySelectorAll('text')]).map(text =>
      text.getBoundingClientRect()).filter(box => box.height > 0).map(box => box.height),
  };
}
let left = wanted.length;
for (const [page, width] of wanted) {
  const frame = document.createElement('iframe');
  frame.width = width;
  frame.height = 900;
  frame.style.border = 0;
  frame.addEventListener('load', () => {
    frame.dataset.found = JSON.stringify(look(frame));
    if (!--left) document.body.dataset.done = 'yes';
  });
  frame.src = page;
  document.body.append(frame);
}
"""


def chromium() -> str | None:
    """Where it is; None: it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def browse(page: Path, *flags: str) -> str:
    """Open a page; what the browser writes to stdout."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [chromium(), *FLAGS, f"--user-data-dir={profile}", *flags, page.resolve().as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=90).stdout


def looks(pages: list[Path], widths: list[int], *flags: str) -> dict[tuple[str, int], dict]:
    """What each page looks like in a frame of each width, by its name and the width."""
    wanted = [(page, width) for page in pages for width in widths]
    harness = pages[0].parent / "harness.html"
    frames = json.dumps([(page.name, width) for page, width in wanted])
    script = f"<script>const wanted = {frames};{_LOOK}</script>"
    harness.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{script}</body>", encoding="utf-8")
    dom = browse(harness, "--dump-dom", "--virtual-time-budget=8000", *flags)
    assert 'data-done="yes"' in dom
    found = [json.loads(html.unescape(text)) for text in re.findall(r'data-found="([^"]*)"', dom)]
    return {(page.stem, width): look for (page, width), look in zip(wanted, found, strict=True)}
