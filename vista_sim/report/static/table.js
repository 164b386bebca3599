// The table of episodes: sorting, filtering, and which episode comes next.

const MOST_ROWS = 2000;
const several = DATA.runs.length > 1;

/** Columns: name, head, digits (null: text), unit or explanation, shown on a narrow screen. */
const COLUMNS = [
  ["id", "#", 0, "Number of the episode", true],
  ...(several ? [["letter", "run", null, "Run", true]] : []),
  ["outcomeText", "outcome", null, "How it went", true],
  ["scenario", "scenario", null, "Scenario, or trace", true],
  ["case", "case", null, "Case", false],
  ["duration", "time, s", 1, "Simulated seconds", false],
  ["distance", "driven, m", 1, "Distance driven", false],
  ["mean_error", "error, m", 3, "Cross-track error, mean", false],
  ["max_error", "max, m", 2, "Cross-track error, largest", true],
  ["acceleration", "lat. acc., m/s²", 2, "Lateral acceleration, peak", false],
  ["seen", "seen, %", 1, "Pixels really seen, least", false],
  ["recovery_time", "back after, s", 1, "Recovery time", false],
  ["ending", "ending", null, "Ending", false],
  ["kind", "kind", null, "Kind of test", false],
  ["driver", "driver", null, "Policy, or the expert beside it", false],
];

const ROWS = DATA.runs.flatMap((run, index) =>
  run.episodes.id.map((id, i) => {
    const row = { run: index, letter: run.letter, index: i };
    for (const name of Object.keys(run.episodes)) row[name] = run.episodes[name][i];
    row.outcomeText = DATA.outcomes[row.outcome];
    row.text = [row.scenario, row.case, row.ending, row.failure, row.kind, row.outcomeText, row.driver]
      .join(" ").toLowerCase();
    return row;
  }),
);

/** A case without the name of its scenario, which stands beside it. */
function shortCase({ scenario, case: name }) {
  const rest = name.startsWith(scenario) ? name.slice(scenario.length).replace(/^[\s,/]+/, "") : name;
  return rest || name;
}

const table = {
  sort: "id", down: false, cell: null, everything: false, shown: [], selected: null,

  init() {
    const used = (name) => ROWS.some((row) => row[name] !== null && row[name] !== "");
    this.columns = COLUMNS.filter(([name]) => used(name));
    const head = byId("table").tHead.rows[0];
    for (const [name, label, digits, title, narrow] of this.columns) {
      const cell = element("th", (digits === null ? "" : "number") + (narrow ? "" : " wide"));
      cell.scope = "col";
      const button = element("button", "", label);
      button.type = "button";
      button.title = title;
      button.addEventListener("click", () => this.sortBy(name));
      cell.append(button);
      cell.dataset.column = name;
      head.append(cell);
    }
    this.options("by-run", "letter");
    this.options("by-outcome", "outcomeText");
    this.options("by-scenario", "scenario");
    this.options("by-kind", "kind");
    this.options("by-driver", "driver");
    if (ROWS.some((row) => row.driver === "policy")) byId("by-driver").value = "policy";
    byId("filter").addEventListener("input", () => this.show());
    byId("clear").addEventListener("click", () => this.clear());
    byId("cell-chip").addEventListener("click", () => this.inCell(null));
    byId("all-rows").addEventListener("click", () => {
      this.everything = true;
      this.show();
    });
    this.show();
  },

  options(id, name) {
    const select = byId(id);
    const order = name === "outcomeText" ? DATA.outcomes : null;
    const values = [...new Set(ROWS.map((row) => row[name]))].filter((value) => value);
    values.sort((a, b) => (order ? order.indexOf(a) - order.indexOf(b) : a.localeCompare(b)));
    for (const value of values) {
      const option = element("option", "", value);
      option.value = value;
      select.append(option);
    }
    if (values.length < 2) select.parentElement.hidden = true;
    select.addEventListener("change", () => this.show());
  },

  clear() {
    for (const id of ["filter", "by-run", "by-outcome", "by-scenario", "by-kind", "by-driver"]) {
      byId(id).value = "";
    }
    this.inCell(null);
  },

  /** Show the starts of a cell of the recovery test only; null: all. */
  inCell(cell) {
    this.cell = cell;
    const chip = byId("cell-chip");
    chip.hidden = cell === null;
    if (cell) {
      const [lateral, heading] = cell.key.split("|");
      chip.textContent = `started at ${lateral} m, ${heading}° ×`;
    }
    this.show();
  },

  sortBy(name) {
    const digits = this.columns.find((column) => column[0] === name)[2];
    this.down = this.sort === name ? !this.down : digits !== null && name !== "id";
    this.sort = name;
    this.show();
  },

  matching() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = [
      ["letter", byId("by-run").value], ["outcomeText", byId("by-outcome").value],
      ["scenario", byId("by-scenario").value], ["kind", byId("by-kind").value],
      ["driver", byId("by-driver").value],
    ].filter(([, value]) => value);
    const found = ROWS.filter((row) =>
      wanted.every(([name, value]) => row[name] === value) &&
      words.every((word) => row.text.includes(word)) &&
      (!this.cell || (row.cell === this.cell.key && row.run === this.cell.run)));
    // By how grave it is, not by its name.
    const name = this.sort === "outcomeText" ? "outcome" : this.sort;
    const sign = this.down ? -1 : 1;
    const missing = (value) => value === null || value === "";
    return found.sort((a, b) => {
      const [x, y] = [a[name], b[name]];
      if (missing(x) || missing(y)) return missing(x) - missing(y) || a.run - b.run || a.id - b.id;
      const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return sign * order || a.run - b.run || a.id - b.id;
    });
  },

  show() {
    this.shown = this.matching();
    const some = this.everything ? this.shown : this.shown.slice(0, MOST_ROWS);
    const body = byId("table").tBodies[0];
    body.replaceChildren(...some.map((row) => this.rowElement(row)));
    for (const cell of byId("table").tHead.rows[0].cells) {
      const sorted = cell.dataset.column === this.sort;
      cell.setAttribute("aria-sort", sorted ? (this.down ? "descending" : "ascending") : "none");
    }
    byId("shown").textContent = `${this.shown.length} of ${ROWS.length}`;
    const more = byId("all-rows");
    more.hidden = some.length === this.shown.length;
    more.textContent = `Show all ${this.shown.length}`;
  },

  rowElement(row) {
    const line = element("tr");
    for (const [name, , digits, , narrow] of this.columns) {
      const value = row[name];
      const cell = element("td", (digits === null ? "" : "number") + (narrow ? "" : " wide"));
      if (name === "id") {
        const link = element("a", "", String(value));
        link.href = `#run=${row.run}&episode=${row.id}`;
        link.title = "Open in the player";
        cell.append(link);
      } else if (name === "outcomeText") {
        cell.append(element("span", `verdict o${row.outcome}`, value));
        if (row.failure) cell.title = row.failure;
      } else {
        cell.textContent = digits !== null ? fixed(value, digits) : name === "case" ? shortCase(row) : value;
        if (digits === null) {
          cell.classList.add("cut");
          cell.title = value;
        }
      }
      line.append(cell);
    }
    line.addEventListener("click", (event) => {
      if (!event.target.closest("a") && !String(getSelection())) go({ run: row.run, episode: row.id });
    });
    row.line = line;
    if (row === this.selected) line.setAttribute("aria-current", "true");
    return line;
  },

  select(row) {
    this.selected?.line?.removeAttribute("aria-current");
    this.selected = row;
    row.line?.setAttribute("aria-current", "true");
  },

  /** The episode before or after the one that is open, as the table is sorted. */
  beside(step) {
    if (!this.shown.length) return null;
    const at = this.shown.indexOf(this.selected);
    if (at < 0) return this.shown[0];
    return this.shown[at + step] || null;
  },
};
