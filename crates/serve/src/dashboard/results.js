// How good, and how sure: the floors first, the best in bold, an interval on every number, the protocol below.

import { at, h, s, share } from "./dom.js";

const FLOORS = /^(random|popular|recent|video-mean|video-median|bias|markov$)/;
const LESS_IS_BETTER = /^(mae|rmse|gini|popularity|calibration|arp)/;
const HEADLINES = ["ndcg@10", "hr@10", "recall@20", "recall@10"];

let chosen = null;

const label = (name) => name.replace(/^(ndcg|hr|mrr|map|auc|f1|ild|mae|rmse)/, (word) => word.toUpperCase()).replace(/^recall/, "Recall").replace(/^precision/, "Precision");
const isFloor = (model) => model.floor ?? FLOORS.test(model.name);

function best(models, metric) {
  const known = models.filter((model) => Number.isFinite(model.metrics[metric]?.mean));
  const sign = LESS_IS_BETTER.test(metric) ? -1 : 1;
  return known.sort((a, b) => sign * (b.metrics[metric].mean - a.metrics[metric].mean))[0]?.name;
}

function metricsOf(models) {
  const all = [...new Set(models.flatMap((model) => Object.keys(model.metrics)))];
  const first = HEADLINES.filter((name) => all.includes(name));
  return [...first, ...all.filter((name) => !first.includes(name))];
}

/** The protocol in one line. */
export function protocolLine(protocol = {}) {
  if (typeof protocol === "string") return protocol;
  if (protocol.line) return protocol.line;
  return Object.entries(protocol).filter(([name]) => name !== "fingerprint").map(([name, value]) => saying(name, value)).join(" · ");
}

function saying(name, value) {
  const words = Array.isArray(value) ? value.join(", ") : typeof value === "object" && value !== null ? Object.entries(value).map(([k, v]) => `${k} ${v}`).join(" ") : String(value);
  return ["data", "split"].includes(name) ? words : `${name.replaceAll("_", " ")} ${words}`;
}

/** Shows the report, both beside the feed and on its own page; `null` while it is being computed. */
export function results(report, trouble = null) {
  const title = () => h("h2", {}, "How good, and how sure");
  if (trouble || !report?.models?.length) {
    const words = trouble ? `The results did not come: ${trouble.message}. ${trouble.hint}` : report?.message ?? (report?.models ? "No model was measured." : "Being computed… the table appears here when it is done.");
    at("sure").replaceChildren(title(), h("p", { class: "state" }, words));
    at("report").replaceChildren(h("p", { class: "state" }, words));
    return;
  }
  const models = [...report.models].sort((a, b) => Number(isFloor(b)) - Number(isFloor(a)));
  const metrics = metricsOf(models);
  if (!metrics.includes(chosen)) chosen = metrics[0];
  at("sure").replaceChildren(title(), digest(models, metrics.slice(0, 2)),
    h("p", { class: "small" }, protocolLine(report.protocol), " · ", h("a", { href: "#results" }, "every metric")));
  page(report, models, metrics);
}

const row = (model, winner, cells) => h("tr", { class: [isFloor(model) && "floor", model.name === winner && "best"].filter(Boolean).join(" ") }, h("th", { scope: "row" }, model.name), cells);

function digest(models, metrics) {
  const winner = best(models, metrics[0]);
  const halfWidth = ({ low, high }) => (Number.isFinite(low) && Number.isFinite(high) ? h("span", { class: "ci", title: `95 % interval ${share(low)} to ${share(high)}` }, ` ±${((high - low) / 2).toFixed(3).replace(/^0/, "")}`) : "");
  return h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "model"), metrics.map((metric) => h("th", { scope: "col" }, label(metric))))),
    h("tbody", {}, models.map((model) => row(model, winner, metrics.map((metric, i) => {
      const value = model.metrics[metric];
      return h("td", {}, value ? share(value.mean) : "–", value && i === 0 ? halfWidth(value) : "");
    })))));
}

function page(report, models, metrics) {
  const winner = best(models, chosen);
  const values = models.map((model) => model.metrics[chosen]).filter(Boolean);
  const top = Math.max(1e-9, ...values.map(({ high, mean }) => high ?? mean));
  const bottom = Math.min(0, ...values.map(({ low, mean }) => low ?? mean));
  const seconds = (x) => (Number.isFinite(x) ? `${x.toFixed(x < 10 ? 2 : 1)} s` : "–");
  at("report").replaceChildren(
    h("p", { class: "lead" }, "Each line is a model, measured on what viewers did next. The bar is the 95 % bootstrap interval over viewers: where two bars overlap widely, the difference may be chance. The floors stand first; a model that does not beat them is not worth its keep."),
    h("div", { class: "choices", role: "group", "aria-label": "Metric" }, metrics.map((metric) => h("button", {
      type: "button", "aria-pressed": String(metric === chosen), onclick: () => {
        chosen = metric;
        page(report, models, metrics);
        at("report").querySelector('.choices [aria-pressed="true"]').focus();
      },
    }, label(metric)))),
    h("section", { class: "sheet" }, h("h2", {}, label(chosen), LESS_IS_BETTER.test(chosen) ? h("small", { class: "soft" }, " (less is better)") : ""),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Results by ${label(chosen)}` }, h("table", {},
        h("thead", {}, h("tr", {}, ["model", label(chosen), "from", "to", `${share(bottom)} to ${share(top)}`, "fit", "score"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, models.map((model) => {
          const value = model.metrics[chosen];
          return row(model, winner, [
            h("td", {}, value ? share(value.mean) : "–"), h("td", { class: "soft" }, share(value?.low)), h("td", { class: "soft" }, share(value?.high)),
            h("td", { class: "plot" }, value ? plot(value, bottom, top) : ""), h("td", { class: "soft" }, seconds(model.fit_seconds)), h("td", { class: "soft" }, seconds(model.score_seconds))]);
        }))))),
    metrics.length > 1 ? h("section", { class: "sheet" }, h("h2", {}, "All metrics"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "All metrics" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "model"), metrics.map((metric) => h("th", { scope: "col" }, label(metric))))),
        h("tbody", {}, models.map((model) => row(model, null, metrics.map((metric) => h("td", {}, best(models, metric) === model.name ? h("b", {}, share(model.metrics[metric]?.mean)) : share(model.metrics[metric]?.mean))))))))) : "",
    h("section", { class: "sheet" }, h("h2", {}, "The protocol"), protocolList(report.protocol)));
}

function plot({ mean, low = mean, high = mean }, bottom, top) {
  const x = (value) => `${((100 * (value - bottom)) / (top - bottom)).toFixed(2)}%`;
  return s("svg", { role: "img", "aria-label": `${share(low)} to ${share(high)}` },
    s("line", { class: "rule", x1: "0", x2: "100%", y1: "10", y2: "10" }),
    s("line", { x1: x(low), x2: x(high), y1: "10", y2: "10" }),
    s("circle", { cx: x(mean), cy: "10", r: "4" }));
}

function protocolList(protocol = {}) {
  if (typeof protocol === "string") return h("p", {}, protocol);
  return h("dl", { class: "facts-list" }, Object.entries(protocol).map(([name, value]) => [
    h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, Array.isArray(value) ? value.join(", ") : typeof value === "object" && value !== null ? JSON.stringify(value) : String(value))]));
}
