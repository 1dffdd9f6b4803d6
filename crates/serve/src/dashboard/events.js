// What a person did, in words and signs, for cards, histories, paths and journeys.

import { s } from "./dom.js";

/** What a person can say about a video: the event's name, the key, and the words. */
export const ACTIONS = {
  like: { key: "l", label: "Like", said: "Liked", help: "I like it (L)", icon: "M12 20.5 4.2 12.9A5 5 0 0 1 11.3 5.8l.7.7.7-.7a5 5 0 0 1 7.1 7.1z" },
  watch: { key: "w", label: "Watched", said: "Watched", help: "I have watched it (W)", icon: "m4.5 12.5 5 5 10-11" },
  hate: { key: "x", label: "", said: "Not interested in", help: "Not interested (X)", icon: "m6 6 12 12M18 6 6 18" },
};
const SAID = { rating: "Rated", comment: "Commented on", follow: "Followed the creator of", collect: "Kept", forward: "Sent on", effective_view: "Watched", impression: "Was shown", search: "Searched for" };

/** The icon of an action, for cards and for the history. */
export const icon = (action) => s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: ACTIONS[action === "rating" || action === "effective_view" ? "watch" : action]?.icon ?? "M12 5v14M5 12h14" }));

/** What was done: "Liked". */
export const saidOf = ({ action }) => ACTIONS[action]?.said ?? SAID[action] ?? action;

/** How much: the stars of a rating, the share of a watch. */
export const howMuch = ({ action, value }) => (action === "rating" && Number.isFinite(value) ? `★ ${value}` : action === "watch" && Number.isFinite(value) && value > 0 ? `${Math.round(100 * value)} %` : "");

/** When, as one would say it. */
export function when(milliseconds) {
  const ago = Date.now() - milliseconds;
  if (ago < 60e3) return "now";
  if (ago < 3600e3) return `${Math.floor(ago / 60e3)} min`;
  if (ago < 86400e3) return `${Math.floor(ago / 3600e3)} h`;
  return new Intl.DateTimeFormat("en", { month: "short", year: "numeric" }).format(milliseconds);
}
