// Makes the page live: when /events says that something changed, fetch the page again and carry
// the differences over. Without this script the page is complete, only still.
"use strict";

const words = document.body.dataset;
const status = document.getElementById("status");
const LEAST_MS = 500; // between two fetches, however fast things change
let source = null;
let stale = false; // the server has another version than the one shown
let busy = false;

function say(live) {
  status.hidden = false;
  status.textContent = live ? words.liveOn : words.liveOff;
  status.dataset.live = live;
}

// Turn `old` into `fresh` in place: what did not change keeps its node, its focus, its scroll
// position and its running transition.
function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  const mine = old.nodeName === "DETAILS" ? "open" : ""; // the reader opened or closed it
  for (const { name } of [...old.attributes])
    if (name !== mine && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (name !== mine && old.getAttribute(name) !== value) old.setAttribute(name, value);
  const want = [...fresh.childNodes];
  const have = new Map([...old.childNodes].filter((node) => node.id).map((node) => [node.id, node]));
  want.forEach((child, place) => {
    const here = old.childNodes[place];
    const known = child.id && have.get(child.id);
    if (known && known !== here) old.insertBefore(known, here ?? null);
    else if (!known && child.id && here) old.insertBefore(child.cloneNode(true), here);
    if (old.childNodes[place]) morph(old.childNodes[place], child);
    else old.append(child.cloneNode(true));
  });
  while (old.childNodes.length > want.length) old.lastChild.remove();
}

// Times are UTC; the reader's own time stands beside where it differs.
function localise() {
  for (const time of document.querySelectorAll("time")) {
    const when = new Date(time.dateTime);
    if (when.getTimezoneOffset() === 0) continue;
    const mine = when.toLocaleTimeString(document.documentElement.lang, { timeZoneName: "short" });
    time.title = `${words.local}: ${when.toLocaleString(document.documentElement.lang)}`;
    time.dataset.local = mine;
  }
}

async function refresh() {
  const live = document.getElementById("live");
  if (busy || !stale || document.hidden) return;
  busy = true;
  stale = false;
  try {
    const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (fresh) {
        morph(live, fresh);
        localise();
      }
    }
  } catch {
    // The event stream notices a dead server too, and says so.
  } finally {
    setTimeout(() => { busy = false; refresh(); }, LEAST_MS);
  }
}

function listen() {
  source?.close();
  source = new EventSource("/events");
  source.onopen = () => say(true);
  source.addEventListener("change", (event) => {
    const shown = document.getElementById("live").dataset.version;
    if (String(JSON.parse(event.data).version) === shown) return;
    stale = true;
    refresh();
  });
  source.onerror = () => {
    say(false);
    // EventSource gives up for good on an HTTP error, such as 503 while the console restarts.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

// A hidden tab holds no stream: browsers allow six per host, and viewers are counted.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) source?.close();
  else listen();
});
document.getElementById("still").remove();
localise();
if (!document.hidden) listen();
