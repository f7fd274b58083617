// What the waiting page knows of itself, keeps, and asks of the server. Whatever is not an answer of ours is "away".
const body = document.body, room = body.dataset.room, base = "/.waitroom/" + encodeURIComponent(room);
const $ = id => document.getElementById(id);
const tab = Math.random().toString(36).slice(2);
const memory = {}, samples = [];
const solver = makeSolver();
const me = {
  asked: false, present_ms: Infinity, join_ms: 0, claim_ms: 0, retry_ms: Infinity,
  ticket: null, mark: null, called: false, turn: null, stop: null, detail: "",
  joining: null, work: null, elsewhere: false, tries: 0, again: false, open_ms: Infinity, others: 0, why: "", why_ms: 0, said: 0,
};
let pulse = null, skew_ms = 0, failures = 0, wake = () => {}, waking, audio = null;

document.documentElement.classList.add("js");

const jitter = (ms, share) => ms * (1 - share + 2 * share * Math.random());
const pause = ms => new Promise(done => setTimeout(done, ms));
const now = () => Date.now() + skew_ms;

function nap(ms) {
  return new Promise(done => {
    clearTimeout(waking);
    wake = done;
    if (ms < Infinity) waking = setTimeout(done, ms);
  });
}

const store = {
  get(name) {
    try { return JSON.parse(localStorage.getItem("wr:" + room + ":" + name)); } catch (_) { return memory[name] || null; }
  },
  set(name, value) {
    memory[name] = value;
    try {
      if (value === null) localStorage.removeItem("wr:" + room + ":" + name);
      else localStorage.setItem("wr:" + room + ":" + name, JSON.stringify(value));
    } catch (_) { /* private mode: the memory has it */ }
  },
};

class Away extends Error {
  constructor(retry_ms) {
    super("away");
    this.retry_ms = retry_ms;
  }
}

function retryMs(answer) {
  const given = answer.headers.get("Retry-After");
  if (!given) return 0;
  return Math.max(0, /^\d+$/.test(given) ? given * 1000 : Date.parse(given) - Date.now() || 0);
}

// What a server in good health says to who comes too many or too fast: it is told, and no reason to "reconnect".
const isRefusal = told => /:(full|too-many)/.test(told.type || "");

async function call(method, path, sent) {
  const stop = new AbortController(), timer = setTimeout(() => stop.abort(), 12000);
  const asked = { method: method, signal: stop.signal, credentials: "same-origin", headers: { Accept: "application/json" } };
  if (sent) {
    asked.headers["Content-Type"] = "application/json";
    asked.body = JSON.stringify(sent);
  }
  try {
    const answer = await fetch(base + path, asked), status = answer.status;
    const told = status === 204 ? {} : await answer.json().catch(() => null), retry_ms = retryMs(answer);
    if (!told || (status === 429 || status >= 500) && !isRefusal(told)) throw new Away(retry_ms);
    return { status: status, data: told, retry_ms: retry_ms };
  } catch (fault) {
    throw fault instanceof Away ? fault : new Away(0);
  } finally {
    clearTimeout(timer);
  }
}

function backoff(retry_ms, times) {
  return Math.max(retry_ms * (1 + .25 * Math.random()), jitter(Math.min(30000, 1000 * Math.pow(2, times - 1)), .5));
}
