// Keyboard, gamepad and touch: what the driver holds now, as one set of controls.

const KEYS = {
  ArrowLeft: "left", KeyA: "left", ArrowRight: "right", KeyD: "right",
  ArrowUp: "throttle", KeyW: "throttle", ArrowDown: "brake", KeyS: "brake",
};
const COMMANDS = {
  Space: "toggle", KeyP: "pause-or-go", KeyR: "restart", KeyX: "perturb", KeyH: "hand_over",
  KeyN: "next", KeyQ: "end",
};
const BUTTONS = { 9: "toggle", 3: "hand_over", 8: "restart", 2: "perturb" }; // standard mapping
const DEAD = 0.1; // of a stick

export class Controls {
  // command(name): called for keys and buttons that are commands; changed(): for all others.
  constructor(command, changed) {
    this.command = command;
    this.changed = changed;
    this.held = new Set();
    this.touchSteer = null;
    this.touchPedals = { throttle: 0, brake: 0 };
    this.buttons = new Set();
    this.pad = { steer: 0, throttle: 0, brake: 0 };
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.release(); });
  }

  key(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const held = KEYS[event.code];
    const command = COMMANDS[event.code];
    if (held === undefined && command === undefined) return;
    // A focused button is pressed by Space: that is not the pause.
    if (event.code === "Space" && event.target instanceof HTMLButtonElement) event.target.blur();
    event.preventDefault();
    if (event.repeat) return;
    if (command !== undefined) {
      if (down) this.command(command === "pause-or-go" ? "toggle" : command);
      return;
    }
    if (down) this.held.add(held); else this.held.delete(held);
    this.changed();
  }

  release() {
    this.held.clear();
    this.touchSteer = null;
    this.touchPedals = { throttle: 0, brake: 0 };
    this.changed();
  }

  // Sliding in an area steers: how far from where the finger was put down.
  touchArea(area, knob) {
    let from = null;
    const move = (event) => {
      const reach = Math.max(60, area.clientWidth * 0.3);
      const share = Math.max(-1, Math.min(1, (event.clientX - from) / reach));
      knob.style.left = `${50 + 40 * share}%`;
      this.touchSteer = -share;
      this.changed();
    };
    area.addEventListener("pointerdown", (event) => {
      area.setPointerCapture(event.pointerId);
      from = event.clientX;
      move(event);
    });
    area.addEventListener("pointermove", (event) => { if (from !== null) move(event); });
    for (const name of ["pointerup", "pointercancel"]) {
      area.addEventListener(name, () => {
        from = null;
        knob.style.left = "50%";
        this.touchSteer = null;
        this.changed();
      });
    }
  }

  touchPedal(button, name) {
    const press = (value) => { this.touchPedals[name] = value; this.changed(); };
    button.addEventListener("pointerdown", () => press(1));
    for (const kind of ["pointerup", "pointercancel", "pointerleave"]) {
      button.addEventListener(kind, () => press(0));
    }
  }

  // Look at the gamepad; to be called for each frame, since it sends no events.
  poll() {
    const pads = navigator.getGamepads ? [...navigator.getGamepads()] : [];
    const pad = pads.find((one) => one && one.connected && one.mapping === "standard");
    const before = JSON.stringify(this.pad);
    this.pad = { steer: 0, throttle: 0, brake: 0 };
    if (pad) {
      const stick = pad.axes[0];
      const beyond = Math.max(0, Math.abs(stick) - DEAD) / (1 - DEAD);
      this.pad.steer = -Math.sign(stick) * beyond;
      this.pad.throttle = pad.buttons[7].value;
      this.pad.brake = pad.buttons[6].value;
      const pressed = new Set(Object.keys(BUTTONS).filter((i) => pad.buttons[i]?.pressed));
      for (const i of pressed) if (!this.buttons.has(i)) this.command(BUTTONS[i]);
      this.buttons = pressed;
    }
    if (JSON.stringify(this.pad) !== before) this.changed();
  }

  // steer to the left is positive.
  get now() {
    const has = (name) => (this.held.has(name) ? 1 : 0);
    const byKeys = has("left") - has("right");
    const keys = this.touchSteer === null && this.pad.steer === 0;
    const steer = keys ? byKeys : (this.touchSteer ?? this.pad.steer);
    const most = (name) => Math.max(has(name), this.touchPedals[name], this.pad[name]);
    return { steer, throttle: most("throttle"), brake: most("brake"), keys };
  }
}
