// The road and the driven path from above.

const CAR = { front: 3.6, back: 0.9, half: 0.9 }; // m from the rear axle: an ordinary car
const AROUND = 55; // m that are shown around the car

const map = {
  follow: true, road: null, columns: null,

  init() {
    this.canvas = byId("map");
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      player.pause();
      this.jump(event);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.follow && this.canvas.hasPointerCapture(event.pointerId)) this.jump(event);
    });
    this.canvas.addEventListener("pointerup", () => player.remember());
    byId("map-mode").addEventListener("click", () => this.switch());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  },

  switch() {
    this.follow = !this.follow;
    byId("map-mode").setAttribute("aria-pressed", String(this.follow));
    this.draw();
  },

  open(road, columns, crashed) {
    this.columns = columns;
    this.crashed = crashed;
    const metres = (values) => values.map((v) => (v === null ? NaN : v / 100));
    this.road = road
      ? Object.fromEntries(Object.entries(road).map(([name, values]) => [name, metres(values)])) : null;
    this.paths = {
      path: this.road && pathOf(this.road.x, this.road.y),
      left: this.road && pathOf(this.road.left_x, this.road.left_y),
      right: this.road && pathOf(this.road.right_x, this.road.right_y),
      surface: this.road && surfaceOf(this.road),
      driven: columns.x && pathOf(columns.x, columns.y),
    };
    const all = columns.x ? [[columns.x, columns.y]] : [];
    this.bounds = boundsOf(all);
    this.draw();
  },

  /** World to canvas: [a, b, c, d, e, f] of setTransform, and px per metre. */
  frame(width, height) {
    const { x, y, yaw } = this.columns;
    const i = player.index;
    if (this.follow) {
      const scale = Math.min(width, height) / AROUND;
      // The car's heading is up, the car a little below the middle.
      const [cos, sin] = [Math.cos(yaw[i]), Math.sin(yaw[i])];
      const [a, b, c, d] = [scale * sin, -scale * cos, -scale * cos, -scale * sin];
      return [[a, b, c, d, width / 2 - a * x[i] - c * y[i], 0.66 * height - b * x[i] - d * y[i]], scale];
    }
    const [x0, y0, x1, y1] = this.bounds;
    const scale = Math.min((width - 30) / Math.max(x1 - x0, 20), (height - 30) / Math.max(y1 - y0, 20));
    return [[scale, 0, 0, -scale, width / 2 - scale * (x0 + x1) / 2, height / 2 + scale * (y0 + y1) / 2], scale];
  },

  draw() {
    const { canvas, columns } = this;
    if (!columns || !columns.x || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    const [world, scale] = this.frame(width, height);
    this.last = world;
    const screen = () => pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    screen();
    pen.clearRect(0, 0, width, height);
    pen.transform(...world);
    pen.lineJoin = pen.lineCap = "round";
    const stroke = (path, colour, pixels, dash = []) => {
      if (!path) return;
      pen.strokeStyle = css(colour);
      pen.lineWidth = pixels / scale;
      pen.setLineDash(dash.map((length) => length / scale));
      pen.stroke(path);
    };
    const { paths } = this;
    if (paths.surface) {
      pen.fillStyle = css("--road");
      pen.fill(paths.surface);
    }
    stroke(paths.left, "--edge", 1);
    stroke(paths.right, "--edge", 1);
    stroke(paths.path, "--human", 1.5, [6, 5]);
    stroke(paths.driven, "--ahead", 2);
    const i = player.index;
    stroke(pathOf(columns.x.subarray(0, i + 1), columns.y.subarray(0, i + 1)), "--policy", 2.5);
    this.car(pen, columns.x[i], columns.y[i], columns.yaw ? columns.yaw[i] : 0, scale);
    screen();
    const last = columns.x.length - 1;
    if (this.crashed) this.cross(pen, this.toScreen(columns.x[last], columns.y[last]));
    this.bar(pen, width, height, scale);
  },

  car(pen, x, y, yaw, scale) {
    const big = Math.max(1, 9 / (scale * (CAR.front + CAR.back)));
    pen.save();
    pen.translate(x, y);
    pen.rotate(yaw);
    pen.scale(big, big);
    pen.fillStyle = css("--policy");
    pen.strokeStyle = css("--panel");
    pen.lineWidth = 1 / (scale * big);
    pen.setLineDash([]);
    pen.beginPath();
    pen.moveTo(CAR.front, 0);
    pen.lineTo(CAR.front - 1.1, CAR.half);
    pen.lineTo(-CAR.back, CAR.half);
    pen.lineTo(-CAR.back, -CAR.half);
    pen.lineTo(CAR.front - 1.1, -CAR.half);
    pen.closePath();
    pen.fill();
    pen.stroke();
    pen.restore();
  },

  cross(pen, [x, y]) {
    pen.strokeStyle = css("--bad");
    pen.lineWidth = 2.5;
    pen.setLineDash([]);
    pen.beginPath();
    for (const way of [-1, 1]) {
      pen.moveTo(x - 6, y - 6 * way);
      pen.lineTo(x + 6, y + 6 * way);
    }
    pen.stroke();
  },

  bar(pen, width, height, scale) {
    const length = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((m) => m * scale > 45) || 10000;
    pen.strokeStyle = pen.fillStyle = css("--quiet");
    pen.lineWidth = 1;
    pen.setLineDash([]);
    pen.beginPath();
    pen.moveTo(width - 12 - length * scale, height - 12.5);
    pen.lineTo(width - 12, height - 12.5);
    pen.stroke();
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "right";
    pen.fillText(`${length} m`, width - 12, height - 18);
  },

  toScreen(x, y) {
    const [a, b, c, d, e, f] = this.last;
    return [a * x + c * y + e, b * x + d * y + f];
  },

  /** Go to the step nearest to where was clicked. */
  jump(event) {
    const { x, y, t } = this.columns;
    const box = this.canvas.getBoundingClientRect();
    const [u, v] = [event.clientX - box.left, event.clientY - box.top];
    let best = [Infinity, 0];
    for (let i = 0; i < x.length; i++) {
      const [px, py] = this.toScreen(x[i], y[i]);
      const far = (px - u) ** 2 + (py - v) ** 2;
      if (far < best[0]) best = [far, i];
    }
    player.seek(t[best[1]]);
  },
};

/** A line through points; it breaks where one is not known. */
function pathOf(x, y) {
  const path = new Path2D();
  let on = false;
  for (let i = 0; i < x.length; i++) {
    if (Number.isNaN(x[i]) || Number.isNaN(y[i])) on = false;
    else {
      path[on ? "lineTo" : "moveTo"](x[i], y[i]);
      on = true;
    }
  }
  return path;
}

/** Between the edges of a road, piece by piece, so that roads may cross themselves. */
function surfaceOf(road) {
  const path = new Path2D();
  const there = road.x.map((_, i) => !Number.isNaN(road.left_x[i]) && !Number.isNaN(road.right_x[i]));
  for (let from = 0; from < there.length; from++) {
    if (!there[from]) continue;
    let to = from;
    while (to + 1 < there.length && there[to + 1] && to - from < 40) to++;
    for (let i = from; i <= to; i++) path[i === from ? "moveTo" : "lineTo"](road.left_x[i], road.left_y[i]);
    for (let i = to; i >= from; i--) path.lineTo(road.right_x[i], road.right_y[i]);
    path.closePath();
    if (to > from) from = to - 1; // the next piece begins where this one ends
  }
  return path;
}

function boundsOf(lines) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of lines) {
    for (let i = 0; i < x.length; i++) {
      if (Number.isNaN(x[i]) || Number.isNaN(y[i])) continue;
      box[0] = Math.min(box[0], x[i]);
      box[1] = Math.min(box[1], y[i]);
      box[2] = Math.max(box[2], x[i]);
      box[3] = Math.max(box[3], y[i]);
    }
  }
  return box[0] <= box[2] ? box : [0, 0, 1, 1];
}
