// The episode that is open, and its clock, which everything else follows.

const player = {
  row: null, columns: null, t: 0, index: 0, playing: false, speed: 1, opening: 0,

  init() {
    byId("play").addEventListener("click", () => this.toggle());
    byId("scrub").addEventListener("input", (event) => {
      this.pause();
      this.seek(Number(event.target.value));
    });
    byId("scrub").addEventListener("change", () => this.remember());
    byId("speed").addEventListener("change", (event) => {
      this.speed = Number(event.target.value);
      if (this.playing) videos.play(this.speed);
    });
  },

  /** Open an episode at a moment, s. */
  async open(row, t = 0) {
    this.pause();
    const turn = ++this.opening;
    const data = await stepsOf(row.run);
    if (turn !== this.opening) return;
    const columns = columnsOf(data, row.id);
    this.row = row;
    table.select(row);
    this.title(row);
    const empty = !columns.t;
    byId("episode-note").hidden = !empty;
    byId("episode-note").textContent = empty ? "No step of this episode was kept." : "";
    if (empty) columns.t = Float64Array.of(0);
    this.columns = columns;
    this.t = this.index = 0;
    const scrub = byId("scrub");
    scrub.min = columns.t[0];
    scrub.max = columns.t[columns.t.length - 1];
    const run = DATA.runs[row.run];
    map.open(run.maps[row.trace], columns, DATA.outcomes[row.outcome] === "crashed");
    videos.open((data.frames || {})[row.id] || {}, columns);
    this.seek(t);
    await plots.open(columns, run.rewards);
    document.documentElement.dataset.episode = `${row.run}/${row.id}`;
  },

  title(row) {
    const run = DATA.runs[row.run];
    const title = byId("episode-title");
    title.replaceChildren();
    if (several) title.append(element("span", "letter", run.letter), " ");
    title.append(element("strong", "", `#${row.id}`), ` ${row.title.replace(/(?<!\w)-(?=\d)/g, "−")} `,
      element("span", `verdict o${row.outcome}`, row.outcomeText));
    const why = row.failure || row.ending;
    if (why && why !== row.outcomeText) title.append(" ", element("span", "quiet", why));
    for (const other of row.pair && several ? ROWS : []) {
      if (other.pair !== row.pair || other.run === row.run) continue;
      const link = element("a", "", `${other.letter}: ${other.outcomeText}`);
      link.href = `#run=${other.run}&episode=${other.id}`;
      link.title = "The same case in the other run";
      title.append(" ", link);
    }
  },

  get end() {
    return this.columns.t[this.columns.t.length - 1];
  },

  /** Go to a moment, s; everything follows. */
  seek(t, exact = true) {
    if (!this.columns) return;
    this.t = Math.min(Math.max(Number.isFinite(t) ? t : 0, this.columns.t[0]), this.end);
    this.index = indexAt(this.columns.t, this.t + 1e-6);
    byId("scrub").value = this.t;
    byId("clock").textContent = `${fixed(this.t, 2)} / ${fixed(this.end, 2)} s`;
    byId("scrub").setAttribute("aria-valuetext", `${fixed(this.t, 1)} s`);
    plots.head(this.t, this.index);
    map.draw();
    videos.seek(this.t, exact);
    this.numbers();
  },

  numbers() {
    const { columns, index } = this;
    const at = (name, digits, factor = 1) => (columns[name] ? fixed(columns[name][index] * factor, digits) : "");
    const facts = [
      ["along the path", at("s", 1), "m"], ["speed", at("speed", 1), "m/s"],
      ["offset", at("lateral", 2), "m"], ["heading error", at("heading_error", 1, 180 / Math.PI), "°"],
      ["lateral acc.", at("lateral_acceleration", 2), "m/s²"], ["seen", at("validity", 1, 100), "%"],
    ];
    const list = byId("readout");
    if (list.childElementCount !== facts.length) {
      list.replaceChildren(...facts.map(([name]) => {
        const box = element("div");
        box.append(element("dt", "", name), element("dd", "number"));
        return box;
      }));
    }
    facts.forEach(([, value, unit], i) => {
      list.children[i].lastChild.textContent = value ? `${value}${unit === "°" ? "" : " "}${unit}` : "–";
    });
  },

  toggle() {
    if (this.playing) {
      this.pause();
      this.remember();
    } else this.play();
  },

  play() {
    if (!this.columns) return;
    if (this.t >= this.end - 1e-6) this.seek(this.columns.t[0]);
    this.playing = true;
    this.shownPlaying();
    videos.seek(this.t, true);
    videos.play(this.speed);
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing) return;
      const own = this.t + (this.speed * Math.max(0, now - before)) / 1000;
      before = now;
      this.seek(this.led(own), false);
      if (this.t >= this.end - 1e-6) {
        this.pause();
        this.remember();
      } else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  },

  /** The clock keeps to the video that leads: it waits for it, and does not fall behind. */
  led(own) {
    const leader = videos.leader(own);
    if (!leader) return own;
    const seen = videos.moment(leader);
    if (own > seen + 0.15) return Math.max(this.t, seen + 0.15);
    return Math.max(own, seen - 0.15);
  },

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.shownPlaying();
    videos.pause();
    videos.seek(this.t, true);
  },

  shownPlaying() {
    byId("play").textContent = this.playing ? "Pause" : "Play";
  },

  /** Keep in the address what is open. */
  remember() {
    if (this.row) history.replaceState(null, "", this.place);
  },

  get place() {
    return `#run=${this.row.run}&episode=${this.row.id}&t=${this.t.toFixed(2)}`;
  },

  /** Some steps further or back. */
  move(steps) {
    if (!this.columns) return;
    this.pause();
    const last = this.columns.t.length - 1;
    this.seek(this.columns.t[Math.min(last, Math.max(0, this.index + steps))]);
    this.remember();
  },
};
