// The taste map: every title a point, near to those it is like; the viewer's way through it, and what is recommended.

import { count, h, inWords, plural, sentence } from "./dom.js";
import { cover, labelsOf, tint, titleOf } from "./cover.js";
import { howMuch, icon, saidOf } from "./events.js";
import { Cloud, rgba } from "./cloud.js";

const STEP_EVERY = 1100;
const GLIDE = 650;
// Of a long way only the newest steps are drawn; older ones would hide the map.
const TRAIL = 16;
const PROJECTIONS = { neighbours: "Neighbours kept", pca: "Main directions" };
const EXPLAINED = {
  neighbours: "Each title is drawn to the titles it is most like and pushed away from others. Near means alike; how far apart two heaps stand means little.",
  pca: "The three directions in which titles differ most, as they are. Distances mean what they say, but most of what tells titles apart lies in directions that are not drawn.",
};
const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

/**
 * The map in `root`, and a small one in `beside`. `source` answers `map`, `video`, `path` and `find`; `who` names the
 * viewer. Returns `follow`, to be called when the viewer or what they did has changed, and `shown`, when a page was turned.
 */
export function taste(root, source, { beside = null, who = () => "the viewer" } = {}) {
  const all = {
    view: null, places: [], path: null, step: -1, projection: 0, on: new Set(), pinned: null, hovered: null,
    here: null, playing: 0, known: new Map(), cores: [], points: new Map(), asked: 0, loading: false,
  };
  const parts = {};

  // What the server knows.

  async function load() {
    if (all.loading || all.view) return;
    all.loading = true;
    try {
      const view = await source.map();
      if (view.status === "drawing") return again("The map is being drawn: all titles are being compared with each other. It comes by itself.");
      if (view.status !== "ready") return say(`There is no map: ${sentence(view.message)}`);
      take(view);
    } catch (error) {
      if (error.status === 503 || error.status === 0) again(inWords("The map did not come", error));
      else say(inWords("The map did not come", error));
    } finally {
      all.loading = false;
    }
    if (all.view) await follow();
  }
  function again(words) {
    say(words);
    setTimeout(load, 1000);
  }
  const say = (words) => root.replaceChildren(h("p", { class: "state" }, words));

  function take(view) {
    all.view = view;
    all.places = view.projections.map(({ places }) => Float32Array.from(places, (x) => x / 10000));
    all.points = new Map(view.ids.map((id, point) => [id, point]));
    build();
    project(0);
  }

  /** The viewer's way, asked anew. */
  async function follow() {
    if (!all.view) return load();
    const turn = (all.asked += 1);
    let path;
    try {
      path = await source.path();
    } catch (error) {
      parts.said.textContent = inWords("The way did not come", error);
      return;
    }
    if (turn !== all.asked) return;
    pause();
    all.path = path;
    // A file may show nobody's way.
    for (const part of [parts.player, parts.said, parts.lit]) part.hidden = !path;
    parts.slider.max = String(Math.max(0, (path?.steps.length ?? 0) - 1));
    lit();
    go((path?.steps.length ?? 0) - 1);
  }

  // Where things stand.

  const placeOf = (step) => all.path?.steps[step]?.places?.[all.projection] ?? null;

  function project(projection) {
    all.projection = projection;
    all.cores = cores();
    for (const cloud of parts.clouds) cloud.stand(all.places[projection]);
    all.here = placeOf(all.step);
    for (const [i, button] of parts.projections.entries()) button.setAttribute("aria-pressed", String(i === projection));
    parts.explained.textContent = EXPLAINED[all.view.projections[projection].name] ?? "";
    paint();
  }

  // The place of each group's name: the point of it around which most of it stands.
  function cores() {
    const members = all.view.groups.map(() => []);
    all.view.group.forEach((group, point) => group >= 0 && members[group].push(point));
    const places = all.places[all.projection];
    const apart = (a, b) => (places[3 * a] - places[3 * b]) ** 2 + (places[3 * a + 1] - places[3 * b + 1]) ** 2 + (places[3 * a + 2] - places[3 * b + 2]) ** 2;
    const some = (list, most) => list.filter((_, i) => i % Math.ceil(list.length / most) === 0);
    return members.map((list) => {
      const [tried, looked] = [some(list, 60), some(list, 400)];
      let [core, best] = [null, -1];
      for (const point of tried) {
        const near = looked.filter((other) => apart(point, other) < 0.02).length;
        if (near > best) [core, best] = [point, near];
      }
      return core;
    });
  }

  function toneOf(group) {
    const { hue, chroma } = tint(all.view.groups[group].name);
    return `oklch(${dark.matches ? 0.76 : 0.6} ${Math.min(0.17, chroma * 1.5)} ${hue})`;
  }

  // Colours of all points; what is switched off stands small and grey.
  function paint() {
    const style = getComputedStyle(document.documentElement);
    const own = (name) => style.getPropertyValue(name).trim();
    parts.tones = { ink: own("--ink"), soft: own("--soft"), accent: own("--accent"), panel: own("--panel") };
    const grey = rgba(own("--edge"));
    const tones = all.view.groups.map((_, group) => rgba(toneOf(group)));
    const hidden = new Set(all.view.hidden);
    const colours = new Uint8Array(4 * all.view.ids.length);
    all.view.group.forEach((group, point) => {
      const shown = !all.on.size || all.on.has(group);
      const [r, g, b] = group >= 0 && shown ? tones[group] : grey;
      colours.set([r, g, b, hidden.has(point) ? 0 : shown ? 255 : 60], 4 * point);
    });
    const size = Math.max(2.6, Math.min(8, 390 / Math.sqrt(all.view.ids.length)));
    for (const cloud of parts.clouds) cloud.paint(colours, cloud.box === parts.small ? Math.max(1.6, size / 2) : size);
    for (const [group, button] of parts.legend.entries()) button.querySelector("i").style.setProperty("--tone", toneOf(group));
  }
  dark.addEventListener("change", () => all.view && setTimeout(paint));

  // The player.

  function go(step, glide = true) {
    const steps = all.path?.steps ?? [];
    all.step = Math.max(-1, Math.min(steps.length - 1, step));
    parts.slider.value = String(Math.max(0, all.step));
    parts.slider.disabled = steps.length < 2;
    parts.play.disabled = steps.length < 2;
    parts.back.disabled = all.step <= 0;
    parts.forward.disabled = all.step >= steps.length - 1;
    const at = steps[all.step];
    root.dataset.step = String(all.step);
    parts.said.replaceChildren(...(at
      ? [h("b", {}, `${all.step + 1} of ${steps.length}`), " ", icon(at.action), ` ${saidOf(at)} `, h("em", {}, titleOf({ id: at.video, title: at.title })), ` ${howMuch(at)}`]
      : ["No step yet: say what you like in the feed, and the way begins here."]));
    if (beside) {
      beside.hidden = false;
      parts.heading.textContent = `${who() === "you" ? "Your" : "Their"} taste, after ${plural(all.path?.total ?? 0, "event")}`;
    }
    move(placeOf(all.step), glide);
  }

  // The viewer's point glides to where it stands now.
  function move(to, glide) {
    const from = all.here;
    cancelAnimationFrame(all.gliding);
    if (!to || !from || !glide || still.matches) {
      all.here = to;
      return redraw();
    }
    const started = performance.now();
    const frame = (now) => {
      const share = Math.min(1, (now - started) / GLIDE);
      const eased = 1 - (1 - share) ** 3;
      all.here = to.map((x, axis) => from[axis] + (x - from[axis]) * eased);
      redraw();
      if (share < 1) all.gliding = requestAnimationFrame(frame);
    };
    all.gliding = requestAnimationFrame(frame);
  }
  const redraw = () => parts.clouds.forEach((cloud) => cloud.draw());

  function play() {
    if (all.playing) return pause();
    if (all.step >= all.path.steps.length - 1) go(0, false);
    all.playing = setInterval(() => {
      if (all.step >= all.path.steps.length - 1) pause();
      else go(all.step + 1);
    }, STEP_EVERY);
    parts.play.textContent = "Pause";
  }
  function pause() {
    clearInterval(all.playing);
    all.playing = 0;
    parts.play.textContent = "Play";
  }

  // What lies over the points.

  function over(context, cloud) {
    if (!parts.tones) return;
    const large = cloud.box !== parts.small;
    const { ink, accent, panel } = parts.tones;
    context.lineJoin = "round";
    context.lineCap = "round";
    for (const { point } of all.path?.recommended ?? []) if (point !== null) ring(context, cloud.at(point), large ? 7 : 2.2, accent, panel);
    way(context, cloud, large);
    if (large) names(context, cloud);
    const chosen = all.hovered ?? all.pinned;
    if (large && chosen !== null) {
      const [x, y] = cloud.at(chosen);
      ring(context, [x, y], 9, ink, panel);
      const video = all.known.get(chosen);
      if (video) nameBeside(context, cloud, titleOf(video), x, y, ink, 600);
    }
  }

  // The names of the groups, the nearest to the eye first; one that would cover another waits until it is turned.
  function names(context, cloud) {
    // The viewer's own name has its place already.
    const own = all.here && cloud.seen(...all.here);
    const taken = own ? [[own[0] + 14 + 3.5 * who().length, own[1], 8 * who().length + 40]] : [];
    const seen = all.cores.map((core, group) => (core === null ? null : { group, at: cloud.at(core) })).filter(Boolean);
    for (const { group, at: [x, y] } of seen.sort((a, b) => b.at[2] - a.at[2])) {
      if (all.on.size && !all.on.has(group)) continue;
      const name = all.view.groups[group].name;
      const width = 7 * name.length;
      if (taken.some(([tx, ty, tw]) => Math.abs(ty - y) < 17 && Math.abs(tx - x) < (tw + width) / 2 + 6)) continue;
      taken.push([x, y, width]);
      label(context, name, x, y, parts.tones.ink, 600, "center");
    }
  }

  // To the right of a point, or to the left of it where it would leave the map.
  function nameBeside(context, cloud, text, x, y, colour, weight) {
    const left = x + 20 + 7.5 * text.length > cloud.box.clientWidth;
    label(context, text, x + (left ? -14 : 14), y + 4, colour, weight, left ? "right" : "left");
  }

  function label(context, text, x, y, colour, weight, align) {
    context.font = `${weight} 12.5px Inter, system-ui, sans-serif`;
    context.textAlign = align;
    context.lineWidth = 4;
    context.strokeStyle = parts.tones.panel;
    context.globalAlpha = 0.85;
    context.strokeText(text, x, y);
    context.globalAlpha = 1;
    context.fillStyle = colour;
    context.fillText(text, x, y);
  }

  function ring(context, [x, y], radius, colour, ground) {
    for (const [width, tone] of [[4.4, ground], [2, colour]]) {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = tone;
      context.stroke();
    }
  }

  function way(context, cloud, large) {
    const first = Math.max(0, all.step - TRAIL);
    const steps = [...Array(Math.max(0, all.step - first)).keys()].map((i) => placeOf(first + i)).filter(Boolean);
    const places = all.here ? [...steps, all.here] : steps;
    if (!places.length) return;
    const { accent, panel } = parts.tones;
    const seen = places.map((place) => cloud.seen(...place));
    for (const [width, tone] of [[large ? 6 : 4, panel], [large ? 2.6 : 1.8, accent]]) {
      for (let i = 1; i < seen.length; i += 1) {
        context.globalAlpha = (i / seen.length) ** 1.5;
        context.beginPath();
        context.moveTo(seen[i - 1][0], seen[i - 1][1]);
        context.lineTo(seen[i][0], seen[i][1]);
        context.lineWidth = width;
        context.strokeStyle = tone;
        context.stroke();
      }
    }
    context.globalAlpha = 1;
    const [x, y] = seen.at(-1);
    context.beginPath();
    context.arc(x, y, large ? 8 : 5, 0, 2 * Math.PI);
    context.fillStyle = accent;
    context.fill();
    context.lineWidth = 2.5;
    context.strokeStyle = panel;
    context.stroke();
    if (large) nameBeside(context, cloud, who(), x, y, accent, 700);
  }

  // One title.

  let waiting = 0;
  function hover(point) {
    if (point === all.hovered) return;
    all.hovered = point;
    redraw();
    clearTimeout(waiting);
    if (point !== null) waiting = setTimeout(() => tell(point), 60);
  }
  function pin(point, face = false) {
    all.pinned = point;
    all.hovered = null;
    if (point === null) return redraw();
    if (face) {
      const [x, y, z] = all.places[all.projection].slice(3 * point, 3 * point + 3);
      const cloud = parts.clouds[0];
      cloud.moved = true;
      [cloud.yaw, cloud.pitch] = [Math.atan2(-x, z), Math.max(-1.5, Math.min(1.5, Math.atan2(y, Math.hypot(x, z))))];
    }
    redraw();
    tell(point);
  }

  async function tell(point) {
    try {
      if (!all.known.has(point)) all.known.set(point, await source.video(all.view.ids[point]));
    } catch (error) {
      parts.title.replaceChildren(h("p", { class: "state" }, inWords("This title did not come", error)));
      return;
    }
    if (point !== (all.hovered ?? all.pinned)) return;
    redraw();
    const video = all.known.get(point);
    const { colours, inside } = cover(video);
    parts.title.dataset.video = video.id;
    parts.title.replaceChildren(
      h("div", { class: "told" },
        h("div", { class: "cover", ...colours, "aria-hidden": "true" }, inside),
        h("div", {}, h("h2", {}, titleOf(video)), h("p", { class: "soft" }, [video.year, ...labelsOf(video)].filter(Boolean).join(" · ")))),
      ...video.near.flatMap(([name, near]) => [
        h("h3", {}, `Nearest in ${name}`),
        h("ol", { class: "near" }, near.map((other) => h("li", {}, h("button", { type: "button", class: "plain", onclick: () => pin(other.point) }, titleOf(other)))))]));
  }

  function lit() {
    const shown = all.path?.recommended ?? [];
    parts.lit.replaceChildren(
      h("h2", {}, "Recommended now ", h("small", {}, shown.length ? "· ringed on the map" : "")),
      shown.length ? h("ol", { class: "near" }, shown.map((video) => h("li", {}, video.point === null ? titleOf(video) : h("button", { type: "button", class: "plain", onclick: () => pin(video.point) }, titleOf(video))))) : h("p", { class: "state" }, "Nothing is left to recommend."));
  }

  // The page.

  function build() {
    const { view } = all;
    const box = h("div", { class: "cloud", tabindex: "0", role: "application", "aria-label": `Map of ${plural(view.ids.length, "title")} in three dimensions. Arrow keys turn it, plus and minus come nearer and go away, Home shows all. The search field finds a title.` });
    const button = (text, attributes) => h("button", { type: "button", ...attributes }, text);
    parts.projections = view.projections.map(({ name }, i) => button(PROJECTIONS[name] ?? name, { onclick: () => project(i) }));
    parts.explained = h("p", { class: "small" });
    parts.slider = h("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": "Step of the way", oninput: () => { pause(); go(Number(parts.slider.value), false); } });
    parts.play = button("Play", { class: "primary play", onclick: play });
    parts.back = button("‹", { "aria-label": "One step back", onclick: () => { pause(); go(all.step - 1); } });
    parts.forward = button("›", { "aria-label": "One step on", onclick: () => { pause(); go(all.step + 1); } });
    parts.player = h("div", { class: "player" }, parts.back, parts.play, parts.forward, parts.slider);
    parts.said = h("p", { class: "said", "aria-live": "polite" });
    parts.title = h("section", { class: "sheet about-title" }, h("p", { class: "state" }, "Point at a title, or search for one: here stands what it is, and what is near it in which way."));
    parts.lit = h("section", { class: "sheet" });
    parts.legend = view.groups.map(({ name, n }, group) => button([h("i"), name, h("small", {}, count(n))], { "aria-pressed": "false", onclick: (event) => choose(group, event.currentTarget) }));
    const found = h("div", { class: "found" });
    const search = h("input", { type: "search", placeholder: "Find a title", "aria-label": "Find a title on the map", autocomplete: "off", oninput: () => find(search.value.trim(), found) });
    root.replaceChildren(
      h("p", { class: "lead" }, `${plural(view.ids.length, "title")}, each a point, coloured by its rarest genre and placed by ${view.space}${view.unknown ? `; ${plural(view.unknown, "title")} of which these tell nothing are not drawn` : ""}. Drag to turn, scroll to come nearer.`),
      h("div", { class: "atlas" },
        h("div", { class: "stage" },
          h("div", { class: "row" },
            h("div", { class: "choices", role: "group", "aria-label": "Projection" }, parts.projections),
            h("div", { class: "search" }, search, found)),
          h("div", { class: "frame" }, box, h("div", { class: "nearer" },
            button("+", { "aria-label": "Nearer", onclick: () => parts.clouds[0].nearer(1.3) }), button("−", { "aria-label": "Farther", onclick: () => parts.clouds[0].nearer(1 / 1.3) }), button("⌂", { "aria-label": "Show all", onclick: () => parts.clouds[0].home() }))),
          parts.player, parts.said,
          h("div", { class: "legend", role: "group", "aria-label": "Genres" }, parts.legend),
          parts.explained),
        h("div", { class: "told-beside" }, parts.title, parts.lit, numbers(view))));
    parts.clouds = [new Cloud(box, over)];
    if (beside) {
      parts.small = h("div", { class: "cloud" });
      parts.heading = h("h2");
      beside.replaceChildren(parts.heading, h("a", { class: "small-cloud", href: "#map", "aria-label": "The taste map" }, parts.small));
      parts.clouds.push(new Cloud(parts.small, over));
    }
    listen(box, parts.clouds[0]);
  }

  function choose(group, pressed) {
    if (all.on.has(group)) all.on.delete(group);
    else all.on.add(group);
    pressed.setAttribute("aria-pressed", String(all.on.has(group)));
    paint();
  }

  let finding = 0;
  function find(query, found) {
    clearTimeout(finding);
    if (!query) return found.replaceChildren();
    finding = setTimeout(async () => {
      try {
        const videos = (await source.find(query)).filter(({ id }) => all.points.has(id));
        found.replaceChildren(...videos.map((video) => h("button", { type: "button", onclick: () => { found.replaceChildren(); pin(all.points.get(video.id), true); } }, [titleOf(video), video.year].filter(Boolean).join(" · "))));
        if (!videos.length) found.replaceChildren(h("p", { class: "state" }, `No title on the map has “${query}” in it.`));
      } catch (error) {
        found.replaceChildren(h("p", { class: "state" }, inWords("No answer", error)));
      }
    }, 140);
  }

  function listen(box, cloud) {
    let held = null;
    const inside = (event) => {
      const { left, top } = box.getBoundingClientRect();
      return [event.clientX - left, event.clientY - top];
    };
    box.addEventListener("pointerdown", (event) => {
      held = { x: event.clientX, y: event.clientY, moved: 0 };
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      if (!held) return hover(cloud.pick(...inside(event)));
      const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
      held = { x: event.clientX, y: event.clientY, moved: held.moved + Math.abs(dx) + Math.abs(dy) };
      cloud.turn(dx * 0.007, dy * 0.007);
    });
    box.addEventListener("pointerup", (event) => {
      if (held && held.moved < 5) pin(cloud.pick(...inside(event)));
      held = null;
    });
    box.addEventListener("pointercancel", () => { held = null; });
    box.addEventListener("pointerleave", () => hover(null));
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      cloud.nearer(Math.exp(-event.deltaY / 500));
    }, { passive: false });
    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const by = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] }[event.key];
      const factor = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 }[event.key];
      if (by) cloud.turn(...by);
      else if (factor) cloud.nearer(factor);
      else if (event.key === "Home") cloud.home();
      else return;
      event.preventDefault();
    });
  }

  // A page that was hidden had no size: what is drawn on it is drawn when it is shown.
  const shown = () => parts.clouds?.forEach((cloud) => cloud.draw());
  return { follow, shown };
}

const percent = (share) => `${Math.round(100 * share)} %`;

// How far the picture can be believed, in numbers.
function numbers({ modalities, projections, measured }) {
  const line = (name, { purity, silhouette }, trust = null) => h("tr", {}, h("th", { scope: "row" }, name),
    h("td", {}, purity ? [percent(purity.value), h("span", { class: "ci" }, ` (${percent(purity.shuffled)})`)] : "–"),
    h("td", {}, silhouette ? [silhouette.value.toFixed(2), h("span", { class: "ci" }, ` (${silhouette.shuffled.toFixed(2)})`)] : "–"),
    h("td", {}, trust ? trust.toFixed(2) : ""));
  return h("section", { class: "sheet" },
    h("h2", {}, "How far to believe it"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "How far to believe it" }, h("table", {},
      h("thead", {}, h("tr", {}, ["", "same genre", "silhouette", "trust"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {},
        modalities.map((modality) => line(modality.name, modality)),
        projections.map((projection) => line(`drawn: ${PROJECTIONS[projection.name] ?? projection.name}`, projection, projection.trustworthiness))))),
    h("p", { class: "small" }, `Same genre: how many of the ten nearest share a title's genre; in brackets, with genres dealt out at random. Labels name the genre themselves, so there it is no wonder; text and audience do not. Silhouette: 1 where genres are heaps of their own, 0 where they touch, below it where they mix. Trust: how many of those drawn near are near. Measured on ${plural(measured, "title")}.`));
}
