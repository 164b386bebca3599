// The videos of an episode, kept in step with its clock.

const TITLES = {
  scene: "where the car is", film: "film", recorded: "as recorded",
  camera: "what the policy sees", saliency: "where it looks", validity: "not really seen",
};
const PANES = ["scene", "film", "recorded", "camera"];
const OVERLAYS = ["validity", "saliency"];
const FURTHER = "camera."; // of views by further cameras: their names follow

const titleOf = (view) => TITLES[view] || `what ${view.slice(FURTHER.length)} sees`;
/** Views that have a pane of their own, in order: of `names`, further cameras last. */
const panesOf = (names) => [...PANES, ...names.filter((view) => view.startsWith(FURTHER)).sort()];

const FAR = 0.3; // s by which a video may be off while it plays
const blobs = new Map();
const LAST_BLOBS = 12;

/** An address at which a clip can be played. */
function addressOf(number) {
  const clip = DATA.clips[number];
  if (clip.href) return clip.href.split("/").map(encodeURIComponent).join("/");
  if (!blobs.has(number)) {
    blobs.set(number, URL.createObjectURL(new Blob([bytesOf(`clip-${number}`)], { type: "video/mp4" })));
    if (blobs.size > LAST_BLOBS) {
      const [oldest, address] = blobs.entries().next().value;
      const used = [...document.querySelectorAll("video")].some((video) => video.src === address);
      if (!used) {
        URL.revokeObjectURL(address);
        blobs.delete(oldest);
      }
    }
  }
  return blobs.get(number);
}

/** Why there is nothing to play. */
function whyNone(row) {
  if (!DATA.videos) return "This page was built without videos.";
  const { filmed, films } = DATA.runs[row.run];
  if (filmed) return "This episode was not filmed.";
  if (films) return "This run does not say which frame shows which step; its films are in its folder views.";
  return "This run was not filmed; vista-sim evaluate --video films what it drives.";
}

const playable = (clip) => ["embedded", "made smaller", "linked"].includes(clip.state);

const videos = {
  shown: [], chosen: { validity: false, saliency: false }, // the others are, until they are not

  /** Show the videos of an episode: {view: [clip, steps, frames]} and the moments of its steps. */
  open(frames, columns) {
    this.close();
    const stepTimes = new Map(Array.from(columns.step || [], (step, i) => [step, columns.t[i]]));
    const lost = [];
    const views = {};
    for (const [view, [number, steps, own]] of Object.entries(frames)) {
      const clip = DATA.clips[number];
      if (!playable(clip)) {
        lost.push(`${titleOf(view)}: video ${clip.state} (${clip.file})`);
        continue;
      }
      const at = summed(steps, 1);
      const numbers = summed(own, 1);
      const keep = [...at.keys()].filter((i) => stepTimes.has(at[i]));
      if (!keep.length) continue;
      views[view] = {
        view, clip, number, t: keep.map((i) => stepTimes.get(at[i])), frame: keep.map((i) => numbers[i]),
      };
    }
    const target = views.camera ? "camera" : "scene" in views ? "scene" : null;
    for (const view of panesOf(Object.keys(views))) if (views[view]) this.pane(views[view]);
    for (const view of OVERLAYS) if (views[view] && target) this.overlay(views[view], target);
    this.toggles(views);
    const panes = byId("panes");
    byId("stage").classList.toggle("plain", !this.shown.length);
    if (!this.shown.length) {
      const why = lost.length ? lost.join("; ") : whyNone(player.row);
      panes.append(element("p", "empty", why));
    } else if (lost.length) {
      panes.append(element("p", "note lost", lost.join("; ")));
    }
    this.arrange();
  },

  close() {
    for (const { video } of this.shown) {
      video.pause();
      video.removeAttribute("src");
      video.load();
    }
    this.shown = [];
    byId("panes").replaceChildren();
  },

  make(found) {
    const video = element("video");
    const [width, height] = found.clip.size; // so that nothing moves when it is there
    Object.assign(video, { muted: true, playsInline: true, preload: "auto", tabIndex: -1, width, height });
    video.setAttribute("aria-label", titleOf(found.view));
    video.addEventListener("error", () => {
      if (!video.getAttribute("src")) return;
      const pane = video.closest("figure");
      if (pane && !pane.querySelector(".lost")) pane.append(element("p", "note lost", `${found.clip.file} cannot be played`));
      found.broken = true;
    });
    video.addEventListener("loadedmetadata", () => this.seek(player.t, true));
    video.src = addressOf(found.number);
    found.video = video;
    this.shown.push(found);
    return video;
  },

  pane(found) {
    const pane = element("figure", `pane view-${found.view}`);
    pane.dataset.view = found.view;
    const box = element("div", "box");
    box.append(this.make(found));
    pane.append(box, element("figcaption", "", titleOf(found.view)));
    byId("panes").append(pane);
  },

  overlay(found, target) {
    const box = byId("panes").querySelector(`.view-${target} .box`);
    const video = this.make(found);
    video.className = `overlay over-${found.view}`;
    box.append(video);
  },

  toggles(views) {
    const set = byId("toggles");
    set.querySelectorAll("label").forEach((label) => label.remove());
    const there = [...panesOf(Object.keys(views)), ...OVERLAYS].filter((view) => this.shown.some((one) => one.view === view));
    set.hidden = there.length < 2;
    for (const view of there) {
      const label = element("label");
      const box = element("input");
      box.type = "checkbox";
      box.checked = this.isChosen(view);
      box.addEventListener("change", () => {
        this.chosen[view] = box.checked;
        this.arrange();
      });
      label.append(box, ` ${titleOf(view)}`);
      set.append(label);
    }
  },

  isChosen(view) {
    return this.chosen[view] !== false;
  },

  arrange() {
    for (const found of this.shown) {
      const overlay = found.video.classList.contains("overlay");
      const place = overlay ? found.video : found.video.closest("figure");
      place.hidden = !this.isChosen(found.view);
    }
    const panes = [...byId("panes").querySelectorAll("figure:not([hidden])")];
    byId("panes").dataset.count = panes.length;
    this.seek(player.t, true);
  },

  /** Where in a video a moment is, s; NaN where it is not filmed. */
  place(found, t) {
    const last = found.t.length - 1;
    const i = indexAt(found.t, t + 1e-6);
    const step = last > 0 ? (found.t[last] - found.t[0]) / last : 1;
    if (t > found.t[last] + 2 * step || t < found.t[0] - 2 * step) return NaN;
    const next = i < last ? found.t[i + 1] : found.t[i] + step;
    const within = Math.min(0.98, Math.max(0.02, (t - found.t[i]) / (next - found.t[i])));
    const frames = i < last ? Math.max(1, found.frame[i + 1] - found.frame[i]) : 1;
    return (found.frame[i] + within * frames) / found.clip.rate;
  },

  /** The moment that a video shows. */
  moment(found) {
    const frame = found.video.currentTime * found.clip.rate;
    const i = indexAt(found.frame, frame);
    const last = found.t.length - 1;
    const dt = i < last ? (found.t[i + 1] - found.t[i]) / (found.frame[i + 1] - found.frame[i]) : 0;
    return found.t[i] + (frame - found.frame[i]) * dt;
  },

  seek(t, exact = false) {
    for (const found of this.shown) {
      const { video } = found;
      if (video.hidden || video.closest("[hidden]") || video.readyState < 1) continue;
      const place = this.place(found, t);
      video.classList.toggle("unfilmed", Number.isNaN(place));
      if (Number.isNaN(place)) continue;
      const off = Math.abs(video.currentTime - place);
      if (exact ? off > 0.3 / found.clip.rate : off > FAR && !video.seeking) video.currentTime = place;
    }
  },

  play(speed) {
    for (const { video } of this.shown) {
      video.playbackRate = speed;
      if (!video.hidden && !video.closest("[hidden]")) video.play().catch(() => {});
    }
  },

  pause() {
    for (const { video } of this.shown) video.pause();
  },

  /** The video that the clock follows while it plays, if one shows this moment. */
  leader(t) {
    return this.shown.find((found) => {
      const { video } = found;
      return !found.broken && !video.hidden && !video.closest("[hidden]") && video.readyState >= 2 &&
        !video.paused && !video.ended && !video.seeking && !Number.isNaN(this.place(found, t));
    });
  },
};
