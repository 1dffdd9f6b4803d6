// Asks the server. Every failure becomes an error whose message can be shown to a person as it is.

const KEY = "upnext.key";

/** What went wrong, in the server's words or ours, with what to do about it. */
export class Failed extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

/** GET, as JSON. */
export const get = (path, query = {}) => ask("GET", path, query);
/** POST, JSON both ways. */
export const post = (path, body) => ask("POST", path, {}, body);
/** DELETE. */
export const remove = (path) => ask("DELETE", path);

/** One path from parts, each escaped. */
export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

/** Where to ask a person for the key; set by the page. */
export const door = { askForKey: async () => null };

/** What the server tells as it happens, one event after another, until it ends the stream; a failure is thrown. */
export async function* follow(path, query, signal) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) url.searchParams.append(name, value);
  const headers = { accept: "text/event-stream" };
  // Not `EventSource`, which cannot bear a key.
  const key = sessionStorage.getItem(KEY);
  if (key) headers["x-api-key"] = key;
  const response = await fetch(url, { headers, cache: "no-store", signal });
  if (!response.ok) throw new Failed(response.status, `${path} answered ${response.status}`, "");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim();
      // A comment keeps the connection open and says nothing.
      if (field("event")) yield { kind: field("event"), data: JSON.parse(field("data") ?? "null") };
    }
  }
}

async function ask(method, path, query = {}, body = undefined) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined && one !== "") url.searchParams.append(name, one);
  }
  for (let asked = false; ; asked = true) {
    const headers = { accept: "application/json" };
    const key = sessionStorage.getItem(KEY);
    if (key) headers["x-api-key"] = key;
    if (body !== undefined) headers["content-type"] = "application/json";
    let response;
    try {
      response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
    } catch {
      throw new Failed(0, "the server does not answer", "check that upnext still runs, then try again");
    }
    if (response.status === 401 && !asked) {
      const given = await door.askForKey();
      if (given) {
        sessionStorage.setItem(KEY, given);
        continue;
      }
    }
    let answer = null;
    try {
      answer = await response.json();
    } catch {
      if (response.ok) throw new Failed(response.status, `${path} answered something that is not JSON`, "");
    }
    if (response.ok) return answer;
    const error = answer?.error ?? {};
    throw new Failed(response.status, error.message ?? `${path} answered ${response.status}`, error.hint ?? "");
  }
}
