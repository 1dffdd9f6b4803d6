// Points in three dimensions: drawn by WebGL, or on a plain canvas where there is none. What lies over the points
// (paths, rings, names) is drawn on a second canvas, the same for both.

import { h } from "./dom.js";

// The eye stands this far from the middle; no point is farther from it than 1.
const FAR = 3.2;
const NEAR_ENOUGH = 14;
const ZOOM = [0.7, 12];
const HOME = [0.5, 0.32, 1];

const VERTEX = `
attribute vec3 place; attribute vec4 colour;
uniform mat3 turn; uniform vec2 scale; uniform float size; uniform vec3 ground;
varying vec4 tone;
void main() {
  vec3 seen = turn * place;
  float away = ${FAR.toFixed(1)} - seen.z;
  gl_Position = colour.a == 0.0 ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(seen.xy * scale / away, -seen.z / 2.0, 1.0);
  gl_PointSize = size * ${FAR.toFixed(1)} / away * (0.55 + 0.45 * colour.a);
  float fog = clamp(0.36 - seen.z * 0.4, 0.0, 0.7);
  tone = vec4(mix(colour.rgb, ground, fog), colour.a);
}`;
const FRAGMENT = `
precision mediump float;
varying vec4 tone;
void main() {
  vec2 from = gl_PointCoord - 0.5;
  float edge = 1.0 - smoothstep(0.36, 0.5, length(from));
  if (edge < 0.05) discard;
  gl_FragColor = vec4(tone.rgb * edge, edge);
}`;

/** A colour as four numbers from 0 to 255, whatever CSS calls it. */
export function rgba(colour) {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  pixel.fillStyle = colour;
  pixel.fillRect(0, 0, 1, 1);
  return [...pixel.getImageData(0, 0, 1, 1).data];
}

export class Cloud {
  /** Draws into a box that has a size. `over(context, cloud)` draws what lies over the points. */
  constructor(box, over) {
    this.box = box;
    box.cloud = this;
    this.over = over;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.upper = h("canvas", { "aria-hidden": "true" });
    box.prepend(this.canvas, this.upper);
    this.gl = painter(this.canvas);
    this.flat = this.gl ? null : this.canvas.getContext("2d");
    this.places = new Float32Array();
    this.colours = new Uint8Array();
    this.size = 4;
    this.home();
    new ResizeObserver(() => this.fit()).observe(box);
  }

  /** How it draws: "WebGL" or "canvas". */
  get by() {
    return this.gl ? "WebGL" : "canvas";
  }

  get n() {
    return this.places.length / 3;
  }

  /** Where the points stand: three numbers each. */
  stand(places) {
    this.places = places;
    if (this.gl) this.gl.fill("place", places);
    if (this.moved) this.draw();
    else this.home();
  }

  /** Their colours: red, green, blue, and 255 to be drawn, less to be drawn small, 0 to be left out. */
  paint(colours, size) {
    this.colours = colours;
    this.size = size;
    // Far points fade towards the ground.
    this.ground = rgba(getComputedStyle(this.box).backgroundColor);
    if (this.gl) this.gl.fill("colour", colours);
    this.draw();
  }

  /** Back to where nearly everything is in view. */
  home() {
    [this.yaw, this.pitch, this.zoom] = HOME;
    this.moved = false;
    [this.turned, this.reached] = [this.matrix(), this.reach()];
    const { clientWidth: width, clientHeight: height } = this.box;
    if (this.n && width && height) {
      const seen = [...Array(this.n).keys()].map((point) => this.at(point));
      const spread = (axis, middle) => Float32Array.from(seen, (at) => Math.abs(at[axis] - middle)).sort()[Math.floor(0.985 * (this.n - 1))];
      this.nearer(0.46 * Math.min(width / Math.max(1, spread(0, width / 2)), height / Math.max(1, spread(1, height / 2))));
      this.moved = false;
    }
    this.draw();
  }

  /** Turns by angles. */
  turn(yaw, pitch) {
    this.moved = true;
    this.yaw += yaw;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + pitch));
    this.draw();
  }

  /** Comes nearer by a factor. */
  nearer(factor) {
    this.moved = true;
    this.zoom = Math.max(ZOOM[0], Math.min(ZOOM[1], this.zoom * factor));
    this.draw();
  }

  /** Draws at the next frame, once however often it was asked. */
  draw() {
    this.waiting ??= requestAnimationFrame(() => this.frame());
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.box;
    const dense = Math.min(2, devicePixelRatio || 1);
    for (const canvas of [this.canvas, this.upper]) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    this.dense = dense;
    if (this.moved) this.draw();
    else this.home();
  }

  // Columns of the rotation: first around the upright axis, then towards the eye.
  matrix() {
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    return [cy, sp * sy, -cp * sy, 0, cp, sp, sy, -sp * cy, cp * cy];
  }

  // From the middle to what is seen at distance FAR, in pixels of the page.
  reach() {
    return 0.96 * (Math.min(this.box.clientWidth, this.box.clientHeight) / 2) * Math.sqrt(FAR * FAR - 1) * this.zoom;
  }

  /** Draws now. */
  frame() {
    cancelAnimationFrame(this.waiting);
    this.waiting = null;
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!width || !height || !this.canvas.width || !this.ground) return;
    this.turned = this.matrix();
    this.reached = this.reach();
    const size = this.size * this.dense * Math.sqrt(this.zoom);
    if (this.gl) this.gl.draw(this.turned, [(2 * this.reached) / width, (2 * this.reached) / height], size, this.ground, this.n);
    else this.onPaper(this.ground);
    const context = this.upper.getContext("2d");
    context.setTransform(this.dense, 0, 0, this.dense, 0, 0);
    context.clearRect(0, 0, width, height);
    this.over(context, this);
    this.frames = (this.frames ?? 0) + 1;
  }

  /** Draws `times` frames, each turned a little, and waits for the last pixel of each: milliseconds a frame. */
  measure(times) {
    const took = [];
    for (let i = 0; i < times; i += 1) {
      this.yaw += 0.05;
      const started = performance.now();
      this.frame();
      this.gl?.finish();
      took.push(performance.now() - started);
    }
    return took;
  }

  /** Where a place is seen: x and y on the page from the box's corner, and how near it is to the eye. */
  seen(x, y, z) {
    const m = this.turned ?? this.matrix();
    const near = m[2] * x + m[5] * y + m[8] * z;
    const scale = (this.reached ?? this.reach()) / (FAR - near);
    return [this.box.clientWidth / 2 + (m[0] * x + m[3] * y + m[6] * z) * scale, this.box.clientHeight / 2 - (m[1] * x + m[4] * y + m[7] * z) * scale, near];
  }

  /** The same of a point by its number. */
  at(point) {
    return this.seen(this.places[3 * point], this.places[3 * point + 1], this.places[3 * point + 2]);
  }

  /** The point under a place of the box, or null: of those within reach the nearest, a point nearer to the eye first. */
  pick(x, y) {
    let [found, best] = [null, Infinity];
    for (let point = 0; point < this.n; point += 1) {
      if (this.colours[4 * point + 3] === 0) continue;
      const [px, py, near] = this.at(point);
      const distance = Math.hypot(px - x, py - y);
      if (distance < NEAR_ENOUGH && distance - 4 * near < best) [found, best] = [point, distance - 4 * near];
    }
    return found;
  }

  // Without WebGL: squares, written pixel by pixel; of two points in one pixel the nearer is seen.
  onPaper(ground) {
    const { turned: m, reached, places, colours, dense, n } = this;
    const { width, height } = this.canvas;
    const image = this.flat.createImageData(width, height);
    // Red is the lowest byte of a pixel wherever browsers run.
    const pixels = new Uint32Array(image.data.buffer);
    const nearest = new Float32Array(width * height).fill(-FAR);
    const wide = 0.8 * this.size * dense * Math.sqrt(this.zoom) * FAR;
    for (let point = 0; point < n; point += 1) {
      if (!colours[4 * point + 3]) continue;
      const [x, y, z] = [places[3 * point], places[3 * point + 1], places[3 * point + 2]];
      const near = m[2] * x + m[5] * y + m[8] * z;
      const scale = (dense * reached) / (FAR - near);
      const side = Math.max(1, Math.round(wide / (FAR - near)));
      const left = Math.round(width / 2 + (m[0] * x + m[3] * y + m[6] * z) * scale - side / 2);
      const top = Math.round(height / 2 - (m[1] * x + m[4] * y + m[7] * z) * scale - side / 2);
      const fog = Math.max(0, Math.min(0.7, 0.36 - near * 0.4));
      let tone = 0xff000000;
      for (let i = 0; i < 3; i += 1) tone |= (colours[4 * point + i] * (1 - fog) + ground[i] * fog) << (8 * i);
      const [right, bottom] = [Math.min(width, left + side), Math.min(height, top + side)];
      for (let row = Math.max(0, top); row < bottom; row += 1) {
        for (let pixel = row * width + Math.max(0, left); pixel < row * width + right; pixel += 1) {
          if (nearest[pixel] > near) continue;
          nearest[pixel] = near;
          pixels[pixel] = tone;
        }
      }
    }
    this.flat.putImageData(image, 0, 0);
  }
}

// A WebGL program for the points; null where there is no WebGL.
function painter(canvas) {
  const gl = canvas.getContext("webgl", { antialias: false });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const parts = { place: [3, gl.FLOAT, false], colour: [4, gl.UNSIGNED_BYTE, true] };
  const buffers = {};
  for (const [name, [width, type, scaled]] of Object.entries(parts)) {
    buffers[name] = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    const at = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, width, type, scaled, 0, 0);
  }
  const uniform = (name) => gl.getUniformLocation(program, name);
  const [turn, scale, size, ground] = ["turn", "scale", "size", "ground"].map(uniform);
  return {
    fill(name, values) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    },
    draw(matrix, stretch, points, [r, g, b], n) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.uniformMatrix3fv(turn, false, matrix);
      gl.uniform2fv(scale, stretch);
      gl.uniform1f(size, points);
      gl.uniform3f(ground, r / 255, g / 255, b / 255);
      gl.drawArrays(gl.POINTS, 0, n);
    },
    // Reading a pixel waits until all are drawn, whatever `finish` does in a browser.
    finish() {
      gl.finish();
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    },
  };
}
