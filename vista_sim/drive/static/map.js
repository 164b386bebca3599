// The road from above, the car's nose up, and the way it came.

const SCALE = 4.5; // px of the canvas a metre
const REACH = 70; // m of road that are drawn to each side of the car

export class RoadMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.road = null;
    this.car = [4.5, 1.8, 0.9];
    this.track = [];
  }

  place(road, car) {
    this.road = road;
    this.car = car;
    this.track = [];
    // Edges, from the path's direction between neighbouring points.
    const n = road.x.length;
    this.left = [];
    this.right = [];
    for (let i = 0; i < n; i++) {
      const a = Math.max(0, i - 1);
      const b = Math.min(n - 1, i + 1);
      const dx = road.x[b] - road.x[a];
      const dy = road.y[b] - road.y[a];
      const length = Math.hypot(dx, dy) || 1;
      const [nx, ny] = [-dy / length, dx / length];
      this.left.push([road.x[i] + nx * road.left[i], road.y[i] + ny * road.left[i]]);
      this.right.push([road.x[i] - nx * road.right[i], road.y[i] - ny * road.right[i]]);
    }
  }

  draw(state) {
    const { context: c, canvas } = this;
    const [w, h] = [canvas.width, canvas.height];
    c.fillStyle = "#22252b";
    c.fillRect(0, 0, w, h);
    if (!this.road) return;
    const last = this.track[this.track.length - 1];
    if (last && Math.hypot(last[0] - state.x, last[1] - state.y) > 3) this.track = [];
    if (!last || Math.hypot(last[0] - state.x, last[1] - state.y) > 0.3) {
      this.track.push([state.x, state.y]);
      if (this.track.length > 400) this.track.shift();
    }
    const [cos, sin] = [Math.cos(state.yaw), Math.sin(state.yaw)];
    const at = ([x, y]) => {
      const [dx, dy] = [x - state.x, y - state.y];
      return [w / 2 - SCALE * (cos * dy - sin * dx), h * 0.72 - SCALE * (cos * dx + sin * dy)];
    };
    const line = (points, style, width) => {
      c.beginPath();
      points.forEach((p, i) => (i ? c.lineTo(...at(p)) : c.moveTo(...at(p))));
      c.strokeStyle = style;
      c.lineWidth = width;
      c.stroke();
    };
    const near = this.road.s.map((s, i) => i).filter((i) => Math.abs(this.road.s[i] - state.s) < REACH);
    if (near.length > 1) {
      const left = near.map((i) => this.left[i]);
      const right = near.map((i) => this.right[i]);
      c.beginPath();
      [...left, ...right.slice().reverse()].forEach((p, i) => (i ? c.lineTo(...at(p)) : c.moveTo(...at(p))));
      c.fillStyle = "#3a3e46";
      c.fill();
      line(left, "#787e88", 1);
      line(right, "#787e88", 1);
      line(near.map((i) => [this.road.x[i], this.road.y[i]]), "#eceef2", 1);
    }
    if (this.track.length > 1) line(this.track, "#ff9f43", 2);
    const [length, width, behind] = this.car;
    const corners = [[length - behind, width / 2], [length - behind, -width / 2],
      [-behind, -width / 2], [-behind, width / 2]];
    c.beginPath();
    for (const [fx, fy] of corners) {
      const p = [w / 2 - SCALE * fy, h * 0.72 - SCALE * fx];
      c.lineTo(...p);
    }
    c.fillStyle = state.driver === "policy" ? "#ffb454" : "#40baff";
    c.fill();
  }
}
