"use strict";
/* Counts up what the page says in words. Without it the page stands as it was when the vault was looked at. */
(() => {
  const served = Number(document.body.dataset.served), near = 0.8;
  const pair = (whole, big, small, unit, rest) => {
    const first = Math.floor(whole / big), second = Math.floor((whole % big) / small);
    return first + " " + unit + (second ? " " + (rest === "min" ? String(second).padStart(2, "0") : second) + " " + rest : "");
  };
  const words = (seconds) => seconds < 60 ? Math.floor(seconds) + " s"
    : seconds < 3600 ? pair(Math.floor(seconds), 60, 1, "min", "s")
    : seconds < 86400 ? pair(Math.floor(seconds), 3600, 60, "h", "min")
    : pair(Math.floor(seconds), 86400, 3600, "d", "h");
  const moving = [...document.querySelectorAll("[data-since]")];
  const count = () => {
    const now = served + performance.now() / 1000;
    for (const each of moving) {
      const age = Math.max(0, now - Number(each.dataset.since));
      each.textContent = words(age);
      const limit = Number(each.dataset.limit), row = each.closest("tr");
      if (!limit || !row) continue;
      row.dataset.tone = age > limit ? "bad" : age > near * limit ? "warn" : "good";
      const fill = row.querySelector(".fill");
      if (fill) fill.style.width = Math.min(100, 100 * age / limit) + "%";
    }
  };
  count();
  setInterval(count, 1000);
  /* What somebody opened or closed stays so when the page is loaded anew. */
  for (const each of document.querySelectorAll("details")) {
    const kept = sessionStorage.getItem(each.id);
    if (kept !== null) each.open = kept === "open";
    each.addEventListener("toggle", () => sessionStorage.setItem(each.id, each.open ? "open" : "closed"));
  }
  setTimeout(() => location.reload(), 1000 * Number(document.body.dataset.refresh));
})();
