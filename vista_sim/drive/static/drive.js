// The drive page: frames and numbers in, controls out. All names from outside are put in as text.

import { Controls } from "./controls.js";
import { RoadMap } from "./map.js";

const $ = (id) => document.getElementById(id);
const view = $("view");
const picture = view.getContext("2d");
const map = new RoadMap($("map"));
const PING = 1000; // ms
const RESEND = 250; // ms after which the controls are told again, though nothing changed

let socket = null;
let seq = 0;
let place = null;
let state = null;
let mapped = null; // the state that the map shows
let policy = null;
let over = false;
let pings = new Map();
let pingId = 0;
let lastSent = "";
let lastSentAt = 0;
const drawnAt = [];
// For measuring: when inputs were made, how long it took until a frame that shows their effect was
// drawn, and the times from frame to frame while the car drives, all in ms.
const watch = { made: new Map(), shown: [], frames: 0, drawn: 0, gaps: [], state: null };
window.driveWatch = watch;

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function sendControls() {
  const now = controls.now;
  const text = JSON.stringify(now);
  const time = performance.now();
  if (text === lastSent && time - lastSentAt < RESEND) return;
  if (text !== lastSent && state?.phase === "driving") {
    watch.made.set(seq + 1, time);
    if (watch.made.size > 500) watch.made.delete(watch.made.keys().next().value);
  }
  lastSent = text;
  lastSentAt = time;
  seq += 1;
  send({ type: "input", seq, ...now });
}

function command(name) {
  if (over) return;
  const covered = !$("help").hidden;
  if (covered && name === "toggle") { start(); return; }
  send({ type: "command", name });
}

const controls = new Controls(command, sendControls);

function start() {
  showHelp(false);
  send({ type: "command", name: "go" });
}

function showHelp(shown) {
  if (over) return;
  $("help").hidden = !shown;
  $("stage").classList.toggle("covered", shown);
  if (shown) { send({ type: "command", name: "pause" }); $("start").focus(); } else view.focus();
}

function showEnd(title, text, commands, again) {
  over = true;
  document.querySelector("main").classList.add("over");
  $("help").hidden = true;
  $("end").hidden = false;
  $("stage").classList.add("covered");
  $("end-title").textContent = title;
  $("end-text").textContent = text;
  $("end-commands").hidden = !commands.length;
  $("end-commands").textContent = commands.join("\n");
  $("again").hidden = !again;
  $("recording").hidden = true;
  $("note").hidden = true;
}

const told = {
  hello(message) {
    policy = message.policy;
    document.title = `${message.target} - vista-sim drive`;
    for (const one of document.querySelectorAll(".policy")) one.hidden = policy === null;
    for (const one of document.querySelectorAll(".policy-name")) one.textContent = policy ?? "";
    view.width = message.size[1];
    view.height = message.size[0];
    $("stage").style.setProperty("--ratio", message.size[1] / message.size[0]);
    $("recording").hidden = false;
  },
  place(message) {
    place = message;
    $("trace").textContent = message.trace;
    const numbered = message.count > 1 ? `${message.index + 1} of ${message.count}: ` : "";
    $("case").textContent = message.case === message.trace ? "" : numbered + message.case;
    for (const one of document.querySelectorAll(".many")) one.hidden = message.count < 2;
    for (const one of document.querySelectorAll(".pedals")) one.hidden = !message.free;
    $("speed-mode").textContent = message.free ? "yours: throttle and brake" : "as recorded";
    $("touch-pedals").hidden = !(message.free && touches);
    map.place(message.road, message.car);
  },
  pong(message) {
    const sent = pings.get(message.id);
    if (sent !== undefined) $("delay").textContent = Math.round(performance.now() - sent);
    pings.delete(message.id);
  },
  refused(message) {
    const busy = message.reason === "somebody else drives already";
    const title = busy ? "Somebody else is driving" : "The connection was closed";
    const text = busy
      ? "This drive takes one driver at a time. Try again when the other one has gone."
      : `${message.reason}. The drive is paused and waits for a driver.`;
    showEnd(title, text, [], true);
  },
  saving() {
    showEnd("Writing the drive", "This takes a few seconds.", [], false);
  },
  end(message) {
    showEnd(message.title, message.text, message.commands, false);
  },
};

async function frame(data) {
  const length = new DataView(data).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const jpeg = new Uint8Array(data, 4 + length);
  if (jpeg.length) {
    const image = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    picture.drawImage(image, 0, 0, view.width, view.height);
    image.close();
    watch.frames += 1;
    const now = performance.now();
    drawnAt.push(now);
    if (watch.gaps.length > 20000) watch.gaps.length = watch.shown.length = 0;
    while (drawnAt.length && now - drawnAt[0] > 2000) drawnAt.shift();
    if (header.phase !== "driving") watch.made.clear();
    else if (state?.phase === "driving") watch.gaps.push(now - watch.drawn);
    watch.drawn = now;
    for (const [number, made] of watch.made) {
      if (number > header.seq) break;
      watch.shown.push(now - made);
      watch.made.delete(number);
    }
  }
  send({ type: "ack", frame: header.n });
  state = watch.state = header;
  show(header);
}

function show(header) {
  const stage = $("stage");
  const limit = place?.max_lateral ?? 2;
  $("speed").textContent = header.speed.toFixed(1);
  $("lateral").textContent = header.lateral.toFixed(2);
  $("lateral").classList.toggle("bad", Math.abs(header.lateral) > 0.75 * limit);
  $("lateral-mark").style.left = `${50 - 50 * Math.max(-1, Math.min(1, header.lateral / limit))}%`;
  $("heading").textContent = ((header.heading * 180) / Math.PI).toFixed(1);
  const seen = header.validity;
  $("validity").textContent = seen === null ? "-" : (100 * seen).toFixed(0);
  $("validity").classList.toggle("bad", seen !== null && seen < 0.7);
  $("validity-mark").style.width = `${100 * (seen ?? 0)}%`;
  $("time").textContent = header.t.toFixed(1);
  $("wheel-mark").style.left = `${50 - 50 * header.wheel}%`;
  const byPolicy = header.driver === "policy";
  $("who").className = `who ${header.driver}`;
  $("who").textContent = byPolicy ? `${policy} drives` : "you drive";
  $("recording").className = header.recording ? "recording" : "recording still";
  $("steps").textContent = header.steps;
  stage.classList.toggle("alarm", header.phase === "set_back");
  document.querySelector('[data-command="toggle"]').textContent =
    header.phase === "driving" || header.phase === "set_back" ? "Pause" : "Go";
  document.querySelector('[data-command="hand_over"]').textContent = byPolicy ? "Take back" : "Hand over";
  let note = header.note;
  if (header.phase === "paused") note = note ? `${note} (paused: Space goes on)` : "paused: Space goes on";
  else if (header.phase === "ready") note = `${note ? `${note}. ` : ""}Space: go`;
  else if (header.phase === "finished") note = `${note ? `${note}. ` : ""}R: drive again, Q: end the drive`;
  else if (header.phase === "driving" && !note && header.pace < 0.9) {
    note = `slow: ${Math.round(100 * header.pace)} % of real time`;
  }
  $("note").textContent = note;
  $("note").hidden = over || !note || !$("help").hidden;
}

function connect() {
  over = false;
  document.querySelector("main").classList.remove("over");
  $("end").hidden = true;
  const query = new URLSearchParams(location.search);
  const token = query.has("token") ? `?token=${encodeURIComponent(query.get("token"))}` : "";
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const own = new WebSocket(`${scheme}//${location.host}/socket${token}`);
  socket = own;
  socket.binaryType = "arraybuffer";
  let drawing = Promise.resolve();
  socket.onmessage = (event) => {
    if (typeof event.data !== "string") {
      drawing = drawing.then(() => frame(event.data)).catch(console.error);
      return;
    }
    const message = JSON.parse(event.data);
    told[message.type]?.(message);
  };
  socket.onopen = () => { lastSent = ""; pings.clear(); showHelp(true); };
  socket.onclose = () => {
    if (own === socket && !over) showEnd("The connection is gone", "The drive is paused, or its program has ended.", [], true);
  };
}

function everyFrame() {
  controls.poll();
  if (state && state !== mapped) map.draw(state);
  mapped = state;
  requestAnimationFrame(everyFrame);
}

setInterval(() => {
  if (over) return;
  pingId += 1;
  pings.set(pingId, performance.now());
  if (pings.size > 10) pings.delete(pings.keys().next().value);
  send({ type: "ping", id: pingId });
  const span = drawnAt.length > 1 ? drawnAt[drawnAt.length - 1] - drawnAt[0] : 0;
  const fresh = drawnAt.length && performance.now() - drawnAt[drawnAt.length - 1] < 500;
  $("rate").textContent = span && fresh ? Math.round((1000 * (drawnAt.length - 1)) / span) : 0;
}, PING);
setInterval(sendControls, RESEND);

const touches = matchMedia("(pointer: coarse)").matches;
$("touch").hidden = !touches;
controls.touchArea($("touch"), $("knob"));
controls.touchPedal($("brake"), "brake");
controls.touchPedal($("throttle"), "throttle");
$("start").addEventListener("click", start);
$("again").addEventListener("click", connect);
$("show-help").addEventListener("click", () => showHelp(true));
for (const button of document.querySelectorAll("[data-command]")) {
  button.addEventListener("click", () => { command(button.dataset.command); button.blur(); });
}
addEventListener("keydown", (event) => {
  if (event.key === "?" && !over) showHelp(true);
  if ((event.key === "Enter" || event.key === "Escape") && !$("help").hidden) { event.preventDefault(); start(); }
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) send({ type: "command", name: "pause" });
});
everyFrame();
connect();
