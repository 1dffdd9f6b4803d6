// What changes while the page is open: the server tells it (server-sent events), and where it cannot, the page asks now and then.

import { follow, get, path } from "./api.js";

// The server ends a stream after minutes; the page comes back at once. Where it cannot listen it asks, and tries again.
const AGAIN = 1000;
const ASK = 15000;

/** Listens for one viewer at a time. `changed(n, kind)` is called when events of theirs came in or were taken back elsewhere, `served()` when another feed is served. */
export function live({ changed, served }) {
  let stop = new AbortController();
  // Events of this page that the server will tell of: it has shown them already.
  let owed = 0;
  let listens = false;

  async function listen(viewer, signal) {
    let known = null;
    let version = null;
    while (!signal.aborted) {
      try {
        for await (const { kind, data } of follow("/api/v2/live", { user: viewer }, signal)) {
          listens = true;
          if (kind === "hello") {
            // What came between two streams, or through another process.
            if (version !== null && data.version !== version && owed === 0) changed(0, "missed");
            owed = 0;
          }
          version = data.version ?? version;
          if (kind === "feed") served();
          if (kind === "missed") changed(0, kind);
          if (kind === "events" || kind === "taken_back") {
            const own = Math.min(owed, data.events);
            owed -= own;
            if (data.events > own) changed(data.events - own, kind);
          }
        }
        await pause(AGAIN, signal);
      } catch {
        if (signal.aborted) return;
        listens = false;
        version = null;
        const total = await counted(viewer);
        const own = known !== null && total > known && total - known <= owed;
        if (known !== null && total !== null && total !== known && !own) changed(0, "missed");
        owed = 0;
        known = total ?? known;
        await pause(ASK, signal);
      }
      listens = false;
    }
  }

  const counted = async (viewer) => {
    try {
      return (await get(path("api", "v2", "history", viewer), { n: 1 })).total;
    } catch {
      return null;
    }
  };

  return {
    /** Listens for this viewer from now on. */
    to: (viewer) => {
      stop.abort();
      stop = new AbortController();
      owed = 0;
      listen(viewer, stop.signal);
    },
    /** These many events are the page's own. */
    own: (n) => { owed = Math.max(0, owed + n); },
    /** Whether the server tells what changes, so that nobody has to ask. */
    get listens() { return listens; },
  };
}

const pause = (milliseconds, signal) => new Promise((done) => {
  if (signal.aborted) return done();
  const timer = setTimeout(done, milliseconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});
