// Addresses, keys, theme; and the beginning.

/** Open an episode and show the player; `kept`: as a place to which the browser can go back. */
function go({ run, episode, t = 0 }, scroll = true, kept = scroll) {
  const row = ROWS.find((one) => one.run === run && one.id === episode);
  if (!row) return false;
  const same = row === player.row;
  const opened = same ? player.seek(t) : player.open(row, t);
  if (scroll) byId("player").scrollIntoView({ block: "start" });
  Promise.resolve(opened).then(() => {
    if (kept && player.row === row && location.hash !== player.place) history.pushState(null, "", player.place);
  });
  return true;
}

/** What an address like #run=0&episode=3&t=12.3 names; null for any other. */
function placeOf(hash) {
  const found = new URLSearchParams(hash.slice(1));
  if (!found.has("episode")) return null;
  const number = (name) => Number(found.get(name) || 0);
  return { run: number("run"), episode: number("episode"), t: number("t") };
}

const moments = [...document.querySelectorAll(".moments a")].map((link) => link.getAttribute("href"));
let moment = -1;

function toMoment(step) {
  if (!moments.length) return;
  moment = (moment + step + moments.length) % moments.length;
  go(placeOf(moments[moment]));
}

function toBeside(step) {
  const row = table.beside(step);
  if (row) go({ run: row.run, episode: row.id });
}

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" }[theme];
  try {
    localStorage.setItem("vista-sim-report-theme", theme);
  } catch {
    // a page without storage forgets
  }
  redraw();
}

function nextTheme() {
  const now = document.documentElement.dataset.theme || "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

function redraw() {
  if (!player.columns) return;
  plots.draw();
  plots.head(player.t, player.index);
  map.draw();
}

const KEYS = {
  " ": () => player.toggle(),
  ArrowRight: () => player.move(1),
  ArrowLeft: () => player.move(-1),
  Home: () => player.seek(0),
  End: () => player.columns && player.seek(player.end),
  j: () => toBeside(1),
  k: () => toBeside(-1),
  n: () => toMoment(1),
  p: () => toMoment(-1),
  "+": () => plots.zoom(0.5, player.t),
  "=": () => plots.zoom(0.5, player.t),
  "-": () => plots.zoom(2, player.t),
  0: () => plots.zoom(0, player.t),
  m: () => map.switch(),
  t: () => nextTheme(),
  "/": () => byId("filter").focus(),
  "?": () => byId("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const { target } = event;
  if (event.key === "Escape" && target === byId("filter")) return target.blur();
  if (target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
  // A focused button, link or slider keeps the keys that are its own.
  if (event.key === " " && target.matches("button, a, summary, input")) return;
  if (target.matches("input[type=range]") && /^(Arrow|Home|End)/.test(event.key)) return;
  if (event.shiftKey && event.key.startsWith("Arrow") && player.columns) {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    player.pause();
    player.seek(player.t + way);
    return player.remember();
  }
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#run="]');
  if (link) {
    event.preventDefault();
    const place = placeOf(link.getAttribute("href"));
    const at = moments.indexOf(link.getAttribute("href"));
    if (at >= 0) moment = at;
    go(place);
  }
  if (event.target.closest(".watch") && player.columns) {
    player.seek(player.columns.t[0]);
    player.play();
  }
  const cell = event.target.closest("button[data-cell]");
  if (cell) {
    table.clear();
    table.inCell({ key: cell.dataset.cell, run: Number(cell.dataset.run) });
    byId("episodes").scrollIntoView({ block: "start" });
  }
});

byId("previous").addEventListener("click", () => toBeside(-1));
byId("next").addEventListener("click", () => toBeside(1));
byId("theme").addEventListener("click", nextTheme);
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("more-moments")?.addEventListener("click", (event) => {
  document.querySelector(".moments").classList.add("all");
  event.target.remove();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("resize", () => player.columns && plots.head(player.t, player.index));
addEventListener("hashchange", () => {
  const place = placeOf(location.hash);
  if (place) go(place, true, false);
});

let remembered = "auto";
try {
  remembered = localStorage.getItem("vista-sim-report-theme") || "auto";
} catch {
  // none
}
player.init();
map.init();
table.init();
setTheme(THEMES.includes(remembered) ? remembered : "auto");
const asked = placeOf(location.hash);
if (!(asked && go(asked, true, false))) go(placeOf(DATA.begin), false);
