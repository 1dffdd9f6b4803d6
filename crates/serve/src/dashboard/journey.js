// The journey: what each event did to the viewer's profile and to what is shown.

import { h, inWords, plural } from "./dom.js";
import { tint, titleOf } from "./cover.js";
import { howMuch, icon, saidOf, when } from "./events.js";

let asked = 0;

/** Shows the journey that `source` tells, newest event first. */
export async function journey(root, source, { who }) {
  const turn = (asked += 1);
  let answer;
  try {
    answer = await source.journey();
  } catch (error) {
    if (turn === asked) root.replaceChildren(h("p", { class: "state" }, inWords("The journey did not come", error)));
    return;
  }
  if (turn !== asked) return;
  const { steps, total } = answer;
  if (!steps.length) {
    root.replaceChildren(h("p", { class: "state" }, "No step yet: say what you like in the feed, and here stands what it changed."));
    return;
  }
  const newest = steps.length < total ? `the newest ${steps.length} of ${plural(total, "event")}` : plural(total, "event");
  root.replaceChildren(
    h("p", { class: "lead" }, `For ${who}: ${newest}. Each was taken back, and the feed asked again: what it would have shown without the event, and what it shows with it. The models are today's.`),
    h("ol", { class: "journey" }, steps.map((step, i) => sheet(step, i)).reverse()));
}

function sheet(step, i) {
  const came = new Set(step.came);
  return h("li", { class: "sheet" },
    h("h2", {}, icon(step.action), ` ${saidOf(step)} `, titleOf({ id: step.video, title: step.title }), " ", h("small", {}, [howMuch(step), step.time > 0 && when(step.time)].filter(Boolean).join(" · "))),
    h("div", { class: "changed" },
      h("div", {}, h("h3", {}, "The profile"), turned(step, i),
        h("p", { class: "chips" }, step.groups.map(([name, share]) => {
          const { hue, chroma } = tint(name);
          return h("span", { class: "chip" }, h("i", { "--tone": `oklch(.65 ${Math.min(0.17, chroma * 1.5)} ${hue})` }), `${name} ${Math.round(100 * share)} %`);
        }))),
      h("div", {}, h("h3", {}, "The feed ", h("small", {}, came.size ? `${came.size} of ${step.slate.length} came in` : "nothing came in")),
        h("ol", { class: "slate-of" },
          step.slate.map((video) => h("li", { class: came.has(video.id) ? "came" : null }, came.has(video.id) && h("span", { class: "unseen" }, "came in: "), titleOf(video))),
          step.went.map((video) => h("li", { class: "went" }, h("span", { class: "unseen" }, "went: "), titleOf(video)))))));
}

// How far the profile turned, as an angle: a quarter turn shares nothing any more.
function turned({ cosine }, i) {
  if (cosine === null) return h("p", { class: "soft" }, i ? "nothing to compare with" : "begins here");
  const degrees = (Math.acos(Math.min(1, cosine)) * 180) / Math.PI;
  return h("p", { title: `cosine ${cosine.toFixed(4)}` },
    h("b", {}, degrees < 0.05 ? "did not turn" : `turned by ${degrees < 10 ? degrees.toFixed(1) : Math.round(degrees)}°`),
    h("span", { class: "bar", "aria-hidden": "true" }, h("i", { "--share": `${Math.min(100, degrees / 0.9).toFixed(1)}%` })));
}
