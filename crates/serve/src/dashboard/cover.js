// A cover drawn from what is known of a video: its title set large, its colour and its figure from the genre,
// and the details from its id, so that the same video always looks the same.

import { h, s } from "./dom.js";

// The rarer a genre, the more it says about a film, so the rarest one gives the colour and the figure.
// Each has a hue (of OKLCH), a chroma and a figure.
const GENRES = [
  ["Film-Noir", 265, 0.025, blinds],
  ["Western", 58, 0.095, mesa],
  ["War", 118, 0.055, chevrons],
  ["Musical", 335, 0.115, equaliser],
  ["Documentary", 215, 0.055, frames],
  ["Horror", 18, 0.12, claws],
  ["Animation", 148, 0.1, balloons],
  ["Sci-Fi", 248, 0.1, planet],
  ["Mystery", 292, 0.09, eye],
  ["Fantasy", 312, 0.11, night],
  ["Children", 180, 0.085, rainbow],
  ["Crime", 28, 0.085, fingerprint],
  ["Romance", 5, 0.115, rings],
  ["Thriller", 262, 0.085, corridor],
  ["Adventure", 165, 0.08, ridges],
  ["Action", 42, 0.115, shards],
  ["Comedy", 82, 0.095, confetti],
  ["Drama", 345, 0.075, curtain],
  ["IMAX", 230, 0.08, frames],
];
const FIGURES = [rings, ridges, planet, confetti, curtain, chevrons, equaliser, eye, shards, balloons, corridor, night];

/** Hue and chroma of a genre, the same wherever it has a colour. */
export function tint(genre) {
  const [, hue, chroma] = GENRES.find(([name]) => name === genre) ?? [null, hash(genre) % 360, 0.1];
  return { hue, chroma };
}

/** The labels that say most about a video: genres where it has them, else categories, topics, tags. */
export function labelsOf({ labels = {} }) {
  const named = (kind) => Object.keys(labels).filter((name) => name.startsWith(kind)).sort().flatMap((name) => labels[name]).map(String);
  for (const kind of ["genre", "categor", "topic", "tag"]) {
    // A tag that is only a number says nothing to a person.
    const found = named(kind).filter((label) => !/^-?\d+$/.test(label));
    if (found.length) return [...new Set(found)];
  }
  return [];
}

/** What a video is called: its title, or its id where it has none. */
export const titleOf = (video) => given(video) || `Video ${video.id}`;

// A server that knows no title may send the id in its place.
const given = ({ title, id }) => ((title ?? "").trim() === String(id) ? "" : (title ?? "").trim());

/** The inside of a cover, for a `.cover` element: over the drawing lies the video's picture, where it has one. */
export function cover(video) {
  const labels = labelsOf(video);
  const named = GENRES.filter(([name]) => labels.includes(name));
  const seed = hash(String(video.id));
  const from = labels.length ? hash(labels[0]) : seed;
  const [, hue, chroma, first] = named[0] ?? [null, from % 360, 0.085, FIGURES[(seed >>> 9) % FIGURES.length]];
  // Films of one genre would look alike, so some take the figure of their second.
  const figure = named[1] && seed % 5 < 2 ? named[1][3] : first;
  const second = hue + turn(hue, named[1]?.[1] ?? hue + 36);
  // What says most stands first, so that the colour can be understood.
  const said = [...new Set([...named.map(([name]) => name), ...labels])];
  const title = given(video);
  const year = video.year ? String(video.year) : null;
  const art = s("svg", { class: "art", viewBox: "0 0 200 300", preserveAspectRatio: "xMidYMax slice", "aria-hidden": "true" });
  figure(art, random(seed));
  return {
    colours: { "--hue": (hue + (named.length ? (seed % 29) - 14 : (seed % 71) - 35)).toString(), "--hue-2": second.toString(), "--chroma": chroma.toString() },
    inside: [
      art,
      picture(video),
      title
        ? h("b", { class: `title ${size(title)}` }, title)
        : h("b", { class: "title untitled" }, h("small", {}, "untitled video"), String(video.id)),
      h("span", { class: "facts" }, year && h("span", { class: "year" }, year), h("span", {}, said.slice(0, 3).join(" · "))),
    ],
  };
}

// `picture` says that the server has one; in a file it is the picture itself. One that does not come leaves the drawing.
function picture({ id, picture: known }) {
  if (!known) return null;
  const src = typeof known === "string" ? known : `/api/v2/videos/${encodeURIComponent(id)}/picture`;
  const image = h("img", { class: "picture", src, alt: "", loading: "lazy", decoding: "async", onerror: () => image.remove() });
  return image;
}

// From one hue to another, but not so far that the mixture turns to mud.
function turn(from, to) {
  const way = ((to - from + 540) % 360) - 180;
  return Math.max(-64, Math.min(64, way));
}

// Letters of East Asian scripts are twice as wide.
function size(title) {
  const width = [...title].reduce((sum, letter) => sum + (letter.codePointAt(0) > 0x2e7f ? 2 : 1), 0);
  const longest = Math.max(...title.split(/[\s\-–:/]+/).map((word) => (/[\u2e80-\uffff]/.test(word) ? 4 : word.length)));
  if (width <= 12 && longest <= 8) return "size-1";
  if (width <= 28 && longest <= 10) return "size-2";
  return width <= 48 && longest <= 13 ? "size-3" : "size-4";
}

/** FNV-1a: small, and the same everywhere. */
export function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  // The last step spreads ids that differ in their last digit only.
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d) >>> 0;
  return (value ^ (value >>> 13)) >>> 0;
}

// Mulberry32: `random(seed)()` is in [0, 1).
function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  next.in = (low, high) => low + next() * (high - low);
  return next;
}

// The figures. Classes: `a` light, `b` middle, `c` deep fills; `l` a light line. The drawing is 200 × 300; the
// title stands in the upper third, so figures keep to the lower two.

const put = (art, tag, attributes) => art.append(s(tag, attributes));
const points = (list) => list.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");

function blinds(art, rnd) {
  const slant = rnd.in(18, 46);
  for (let y = 118; y < 330; y += 19) put(art, "polygon", { class: "a", points: points([[-10, y], [210, y - slant], [210, y + 8 - slant], [-10, y + 8]]), opacity: (0.1 + (y - 118) / 900).toFixed(2) });
  put(art, "circle", { class: "c", cx: rnd.in(70, 140), cy: 236, r: 34 });
  put(art, "ellipse", { class: "c", cx: 100, cy: 330, rx: 92, ry: 62 });
}

function mesa(art, rnd) {
  const x = rnd.in(60, 145);
  put(art, "circle", { class: "a", cx: x, cy: 196, r: rnd.in(36, 50), opacity: 0.75 });
  const step = rnd.in(8, 30);
  put(art, "path", { class: "b", d: `M-5 250h30l8-${40 + step}h44l6 ${40 + step}h34l6-26h30l5 26h60v60H-5z` });
  put(art, "path", { class: "c", d: `M-5 268q60-${step} 110 0t110-4v50H-5z` });
}

function chevrons(art, rnd) {
  const x = rnd.in(80, 120);
  for (let i = 0; i < 6; i += 1) put(art, "polyline", { class: "l", points: points([[x - 110, 330 - i * 26], [x, 258 - i * 26], [x + 110, 330 - i * 26]]), "stroke-width": 11, opacity: (0.5 - i * 0.07).toFixed(2) });
}

function equaliser(art, rnd) {
  for (let i = 0; i < 11; i += 1) {
    const tall = rnd.in(26, 150) * (0.55 + 0.45 * Math.sin((i / 10) * Math.PI));
    put(art, "rect", { class: i % 3 ? "b" : "a", x: 8 + i * 17, y: 306 - tall, width: 11, height: tall + 10, rx: 5.5, opacity: i % 3 ? 0.85 : 0.6 });
  }
}

function frames(art, rnd) {
  const x = rnd.in(78, 122);
  const y = 208;
  for (const [i, side] of [150, 104, 62, 26].entries()) put(art, "rect", { class: i === 3 ? "a" : "l", x: x - side / 2, y: y - side / 2.6, width: side, height: side / 1.3, rx: 3, "stroke-width": 2.4, opacity: 0.35 + i * 0.12 });
  put(art, "path", { class: "l", d: `M${x} 118v32M${x} 266v32M-4 ${y}h22M182 ${y}h22`, "stroke-width": 2.4, opacity: 0.5 });
}

function claws(art, rnd) {
  const lean = rnd.in(-34, 34);
  for (let i = 0; i < 5; i += 1) {
    const x = 24 + i * 36 + rnd.in(-6, 6);
    const top = rnd.in(104, 160);
    put(art, "path", { class: i % 2 ? "a" : "b", d: `M${x} ${top}Q${x + lean / 2 + 20} ${top + 90} ${x + lean} 330h-16Q${x + lean / 2 - 10} ${top + 90} ${x} ${top}z`, opacity: i % 2 ? 0.5 : 0.9 });
  }
}

function balloons(art, rnd) {
  for (let i = 0; i < 8; i += 1) put(art, "circle", { class: "abc"[i % 3], cx: rnd.in(0, 200), cy: rnd.in(150, 290), r: rnd.in(16, 54), opacity: [0.5, 0.75, 0.6][i % 3] });
}

function planet(art, rnd) {
  for (let i = 0; i < 26; i += 1) put(art, "circle", { class: "a", cx: rnd.in(0, 200), cy: rnd.in(90, 296), r: rnd.in(0.5, 1.6), opacity: rnd.in(0.4, 0.9).toFixed(2) });
  const [x, y, r] = [rnd.in(70, 140), rnd.in(196, 226), rnd.in(34, 54)];
  put(art, "circle", { class: "b", cx: x, cy: y, r });
  put(art, "path", { class: "a", d: `M${x - r} ${y}a${r} ${r} 0 0 1 ${r} ${-r}a${r * 1.25} ${r * 1.25} 0 0 0 ${-r} ${r}z`, opacity: 0.6 });
  put(art, "ellipse", { class: "l", cx: x, cy: y, rx: r * 1.75, ry: r * 0.42, "stroke-width": 4, opacity: 0.6, transform: `rotate(${rnd.in(-28, 28).toFixed(0)} ${x} ${y})` });
}

function eye(art, rnd) {
  const [x, y] = [rnd.in(84, 116), 214];
  for (let i = 7; i > 0; i -= 1) put(art, "circle", { class: "l", cx: x, cy: y, r: i * 14, "stroke-width": 3.4, "stroke-dasharray": i % 2 ? "none" : `${rnd.in(14, 40).toFixed(0)} 7`, opacity: (0.62 - i * 0.07).toFixed(2) });
  put(art, "path", { class: "a", d: `M${x - 9} ${y - 12}a11 11 0 1 1 18 0l7 34h-32z`, opacity: 0.85 });
}

function night(art, rnd) {
  put(art, "path", { class: "a", d: `M${rnd.in(120, 150)} 128a28 28 0 1 0 28 38a32 32 0 0 1-28-38z`, opacity: 0.8 });
  for (let i = 0; i < 18; i += 1) put(art, "circle", { class: "a", cx: rnd.in(0, 200), cy: rnd.in(90, 220), r: rnd.in(0.6, 1.8), opacity: 0.7 });
  const peaks = [0, 1, 2, 3, 4, 5].map((i) => [i * 44 - 10, rnd.in(196, 246)]);
  put(art, "polygon", { class: "b", points: points([[-10, 310], ...peaks.flatMap(([x, y]) => [[x, y], [x + 22, y + 34]]), [220, 310]]) });
  put(art, "polygon", { class: "c", points: points([[-10, 310], [-10, 270], [40, 248], [88, 280], [140, 252], [214, 286], [214, 310]]) });
}

function rainbow(art, rnd) {
  const x = rnd.in(30, 170);
  for (let i = 0; i < 6; i += 1) put(art, "circle", { class: i % 2 ? "l deep" : "l", cx: x, cy: 306, r: 148 - i * 23, "stroke-width": 15, opacity: 0.28 + i * 0.07 });
}

function fingerprint(art, rnd) {
  const turn = rnd.in(-24, 24).toFixed(0);
  for (let i = 1; i < 10; i += 1) put(art, "ellipse", { class: "l", cx: 100, cy: 222, rx: i * 9.5, ry: i * 12.5, "stroke-width": 3.6, "stroke-linecap": "round", "stroke-dasharray": `${rnd.in(30, 120).toFixed(0)} ${rnd.in(8, 22).toFixed(0)}`, opacity: (0.72 - i * 0.055).toFixed(2), transform: `rotate(${turn} 100 222)` });
}

function rings(art, rnd) {
  const [r, apart, y] = [rnd.in(46, 60), rnd.in(26, 40), rnd.in(200, 224)];
  put(art, "circle", { class: "b", cx: 100 - apart, cy: y, r, opacity: 0.95 });
  put(art, "circle", { class: "a", cx: 100 + apart, cy: y, r, opacity: 0.5 });
  put(art, "circle", { class: "l", cx: 100, cy: y, r: r + apart + 9, "stroke-width": 2, opacity: 0.4 });
}

function corridor(art, rnd) {
  const [x, y] = [rnd.in(60, 140), rnd.in(176, 214)];
  for (let i = 0; i < 6; i += 1) {
    const far = 1 - i / 6;
    const [w, t] = [150 * far ** 1.6 + 6, 170 * far ** 1.6 + 8];
    put(art, "rect", { class: i === 5 ? "a" : "l", x: x - w, y: y - t, width: 2 * w, height: 2 * t, "stroke-width": 2.6, opacity: (0.22 + i * 0.1).toFixed(2) });
  }
  put(art, "path", { class: "c", d: `M${x - 60} 310L${x} ${y + 6}L${x + 60} 310z`, opacity: 0.8 });
}

function ridges(art, rnd) {
  put(art, "circle", { class: "a", cx: rnd.in(40, 160), cy: rnd.in(150, 180), r: 20, opacity: 0.75 });
  for (let i = 0; i < 4; i += 1) {
    const y = 190 + i * 30;
    const [p, q] = [rnd.in(-34, 34), rnd.in(-34, 34)];
    put(art, "path", { class: i % 2 ? "c" : "b", d: `M-5 ${y}C40 ${y - 40 + p} 70 ${y + 20} 104 ${y - 6}S170 ${y - 30 + q} 206 ${y}V310H-5z`, opacity: 0.5 + i * 0.13 });
  }
}

function shards(art, rnd) {
  for (let i = 0; i < 8; i += 1) {
    const [x, w] = [rnd.in(-90, 170), rnd.in(6, 34)];
    put(art, "polygon", { class: "abc"[i % 3], points: points([[x, 320], [x + w, 320], [x + w + 164, -5], [x + 164 + w / 4, -5]]), opacity: [0.32, 0.7, 0.5][i % 3] });
  }
}

function confetti(art, rnd) {
  const [x, y] = [rnd.in(40, 160), rnd.in(230, 300)];
  for (let row = 0; row < 11; row += 1) for (let column = 0; column < 11; column += 1) {
    const [cx, cy] = [column * 20 + (row % 2) * 10, 116 + row * 18];
    const r = 8.6 - Math.hypot(cx - x, cy - y) / 17;
    if (r > 0.7) put(art, "circle", { class: (row + column) % 4 ? "b" : "a", cx, cy, r: r.toFixed(1), opacity: (row + column) % 4 ? 0.95 : 0.65 });
  }
}

function curtain(art, rnd) {
  let x = -12;
  for (let i = 0; x < 206; i += 1) {
    const w = rnd.in(13, 30);
    const hem = 298 - 46 * Math.sin(((x + w / 2) / 200) * Math.PI);
    put(art, "path", { class: i % 2 ? "b" : "c", d: `M${x} -5V${hem}q${w / 2} 16 ${w} 0V-5z`, opacity: i % 2 ? 0.62 : 0.4 });
    x += w;
  }
  put(art, "ellipse", { class: "a", cx: 100, cy: 306, rx: 88, ry: 22, opacity: 0.5 });
}
