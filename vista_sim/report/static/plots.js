// Plots over the time of an episode, with a playhead.

const MARGIN = { l: 48, r: 12, t: 6, b: 22 };
const HEIGHT = 118;

/** Plots: title, unit, digits, lines as [column, label, colour, dash, factor]. */
const PLOTS = [
  ["steering", "curvature, 1/m", 4, [
    ["recorded_curvature", "human", "--human", "dash", 1],
    ["curvature", "car", "--car", "solid", 1],
    ["action_curvature", "policy", "--policy", "solid", 1]]],
  ["speed", "m/s", 1, [
    ["recorded_speed", "recorded", "--human", "dash", 1],
    ["speed", "car", "--policy", "solid", 1]]],
  ["cross-track error", "m", 2, [["lateral", "offset", "--policy", "solid", 1]]],
  ["pixels really seen", "%", 1, [["validity", "seen", "--policy", "solid", 100]]],
];
const REWARD_COLOURS = ["--ink", "--policy", "--human", "--car", "--fourth", "--fifth", "--sixth", "--seventh"];

let plotlyLoading = null;

/** The plotting library: unpacked and run when the first plot is drawn. */
function loadPlotly() {
  plotlyLoading ||= textOf("plotly").then((text) => {
    const script = element("script");
    script.textContent = text; // allowed by its hash in the page's security policy
    document.head.append(script);
    return window.Plotly;
  });
  return plotlyLoading;
}

const plots = {
  charts: [], range: [0, 1],

  async open(columns, rewards) {
    this.columns = columns;
    const t = columns.t;
    this.full = [t[0], Math.max(t[t.length - 1], t[0] + 0.1)];
    this.range = [...this.full];
    const Plotly = await loadPlotly();
    if (this.columns !== columns) return;
    const rewardLines = rewards.filter((name) => columns[name]).map((name, i) =>
      [name, name === "reward" ? "sum" : name.replace("reward_", "").replaceAll("_", " "),
        REWARD_COLOURS[i % REWARD_COLOURS.length], i >= REWARD_COLOURS.length ? "dot" : "solid", 1]);
    const wanted = [...PLOTS, ["reward terms", "per step", 2, rewardLines]].filter(
      ([, , , lines]) => lines.some(([name]) => columns[name]));
    byId("charts").replaceChildren();
    for (const { plot } of this.charts) Plotly.purge(plot);
    this.charts = wanted.map((chart) => this.chart(chart));
    this.draw();
    this.head(player.t, player.index);
  },

  chart([title, unit, digits, lines]) {
    const box = element("figure", "chart");
    const caption = element("figcaption");
    caption.append(element("strong", "", title), element("span", "quiet", unit));
    const there = lines.filter(([name]) => this.columns[name]);
    const values = there.map(([, label, colour, dash]) => {
      const item = element("span", "item");
      const swatch = element("i", `line${dash === "solid" ? "" : " dashed"}`);
      swatch.style.setProperty("--own", `var(${colour})`);
      const value = element("span", "number");
      item.append(swatch, label, value);
      caption.append(item);
      return value;
    });
    const area = element("div", "area");
    const plot = element("div", "plot");
    const head = element("div", "playhead");
    area.append(plot, head);
    box.append(caption, area);
    byId("charts").append(box);
    this.scrubbing(area);
    return { title, digits, lines: there, values, plot, head, area };
  },

  scrubbing(area) {
    const jump = (event) => {
      const box = area.getBoundingClientRect();
      const share = (event.clientX - box.left - MARGIN.l) / (box.width - MARGIN.l - MARGIN.r);
      player.seek(this.range[0] + share * (this.range[1] - this.range[0]));
    };
    area.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      area.setPointerCapture(event.pointerId);
      player.pause();
      jump(event);
    });
    area.addEventListener("pointermove", (event) => {
      if (area.hasPointerCapture(event.pointerId)) jump(event);
    });
    area.addEventListener("pointerup", () => player.remember());
  },

  draw() {
    if (!window.Plotly) return;
    const x = Array.from(this.columns.t);
    const axis = { gridcolor: css("--grid"), zerolinecolor: css("--zero"), linecolor: css("--grid"),
      tickfont: { size: 11, color: css("--quiet") }, fixedrange: true };
    for (const chart of this.charts) {
      const traces = chart.lines.map(([name, label, colour, dash, factor]) => ({
        x, y: Array.from(this.columns[name], (v) => (Number.isNaN(v) ? null : v * factor)), name: label,
        mode: "lines", type: "scatter", hoverinfo: "skip",
        line: { color: css(colour), width: colour === "--ink" ? 1.2 : 1.7, dash },
      }));
      const layout = {
        height: HEIGHT, margin: MARGIN, showlegend: false, hovermode: false, dragmode: false,
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: getComputedStyle(document.body).fontFamily, size: 11 },
        xaxis: { ...axis, range: this.range, nticks: 8, zeroline: false, ticksuffix: " s" },
        yaxis: { ...axis, nticks: 4, zeroline: true, rangemode: chart.title === "speed" ? "tozero" : "normal" },
      };
      window.Plotly.react(chart.plot, traces, layout, { staticPlot: true, responsive: true });
    }
  },

  /** Put the playhead to a moment, and the values there beside the plots' titles. */
  head(t, index) {
    const share = (t - this.range[0]) / (this.range[1] - this.range[0]);
    for (const chart of this.charts) {
      const width = chart.area.clientWidth - MARGIN.l - MARGIN.r;
      chart.head.hidden = share < -0.001 || share > 1.001;
      chart.head.style.transform = `translateX(${MARGIN.l + share * width}px)`;
      chart.lines.forEach(([name, , , , factor], i) => {
        const text = fixed(this.columns[name][index] * factor, chart.digits);
        chart.values[i].textContent = text || "–";
      });
    }
  },

  /** Zoom in time around the playhead; 0: all of it. */
  zoom(factor, t) {
    const [low, high] = this.full;
    const span = factor ? Math.min(high - low, Math.max(0.5, (this.range[1] - this.range[0]) * factor)) : high - low;
    const start = Math.min(Math.max(low, t - span / 2), high - span);
    this.range = [start, start + span];
    this.draw();
    this.head(t, player.index);
  },
};
