// The page of the chat: chats as event streams, Stop, and the cancellation tree beside them. It keeps no more than a
// screen needs, so that a long reply costs no more than a short one.

// A link may name the client and ask: #ask=why is the sky blue?&interval_ms=100
const link = new URLSearchParams(location.hash.slice(1));
const client = link.get("client") || (crypto.randomUUID ? crypto.randomUUID().slice(0, 8) : Math.random().toString(36).slice(2, 10));
const byId = id => document.getElementById(id);
const chats = new Map();
const MAX_CHATS = 4, MAX_KEPT = 12, MAX_TEXT = 20000;
let shown = null, frame = 0, next = 1, scene = { services: [], scene: false }, crowd = null;

/** Makes the requests of chats; see `requests`. */
const worker = new Worker(URL.createObjectURL(new Blob([`(${requests})()`], { type: "text/javascript" })));
/** What waits for the worker's next message, by chat. */
const answers = new Map();
worker.onmessage = ({ data }) => answers.get(data.id)?.(data);

/** Milliseconds since 1970, finer than a millisecond: the clock of the services' reports on the same machine. */
const now = () => performance.timeOrigin + performance.now();

// ---- asking and stopping

function ask(prompt, wishes = {}, title = prompt) {
  const running = [...chats.values()].filter(chat => chat.state === "streaming").length;
  if (running >= MAX_CHATS) return say("Four chats are running: stop one first.", true);
  const id = `${client}.${next++}`;
  const chat = {
    id, title, prompt, text: "", tokens: 0, state: "streaming", note: "waiting for the first token", expected: 120,
    tree: null, hops: new Map(), reports: new Map(), passages: [], started: now(),
  };
  chats.set(id, chat);
  for (const [old, kept] of chats) {
    if (chats.size <= MAX_KEPT) break;
    if (kept.state !== "streaming") chats.delete(old);
  }
  shown = chat;
  read(chat, wishes);
  draw();
  return chat;
}

async function read(chat, wishes) {
  const { slow, ...options } = wishes;
  const init = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: chat.prompt, chat: chat.id, ...options }),
  };
  let answer = await exchange(chat, { url: `${location.origin}/chat`, init }), rest = "";
  while (answer.text !== undefined) {
    rest = await events(rest + answer.text, (name, data) => take(chat, name, data));
    if (slow) await new Promise(resolve => setTimeout(resolve, slow));
    if (chat.state === "stopped") break;
    answer = await exchange(chat, { next: true });
  }
  answers.delete(chat.id);
  if (chat.state !== "streaming") return;
  if (answer.status) return end(chat, "failed", answer.said.error || { message: `HTTP ${answer.status}` });
  const lost = `the gateway cannot be reached (${answer.error})`;
  end(chat, "failed", { message: answer.error ? lost : "the gateway closed the stream" });
}

/**
 * Runs in a worker: fetches, and sends the page one piece of a body each time it asks for one, so that it holds one
 * that the page has not taken. After a click Chromium draws first, and closes the connection of a request that the
 * page itself has aborted only then, 5 to 25 ms later; a worker has nothing to draw.
 */
function requests() {
  const running = new Map();
  self.onmessage = async ({ data: { id, url, init, next, abort } }) => {
    const request = running.get(id);
    if (abort) request?.controller.abort();
    if (abort || next) return request?.next();
    const controller = new AbortController(), own = { controller, next: () => {} };
    running.set(id, own);
    try {
      const response = await fetch(url, { ...init, signal: controller.signal });
      if (!response.ok) {
        return self.postMessage({ id, status: response.status, said: await response.json().catch(() => ({})) });
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return self.postMessage({ id });
        const taken = new Promise(resolve => { own.next = resolve; });
        self.postMessage({ id, text: value });
        await taken;
      }
    } catch (error) {
      self.postMessage({ id, error: error.message });
    } finally {
      running.delete(id);
    }
  };
}

/** Passes the worker a message of a chat. Returns its answer: `text`, or the end, with `status` and `said`, or `error`. */
function exchange(chat, message) {
  return new Promise(resolve => {
    answers.set(chat.id, resolve);
    worker.postMessage({ id: chat.id, ...message });
  });
}

/** Takes the whole server-sent events of a text. Returns the rest of it. */
async function events(text, take) {
  const parts = text.split("\n\n"), rest = parts.pop();
  let since = now();
  for (const part of parts) {
    let name = "message", data = "";
    for (const line of part.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (data) take(name, JSON.parse(data));
    // The page gets its turn, so that Stop works however fast the reply comes. A text may have thousands of tokens.
    if (now() - since > 10) {
      await new Promise(resolve => setTimeout(resolve, 5));
      since = now();
    }
  }
  return rest;
}

function take(chat, name, data) {
  // The rest of a chunk that had come before Stop.
  if (chat.state !== "streaming") return;
  if (name === "start") chat.expected = data.expected;
  if (name === "token") {
    if (!chat.tokens) chat.first = now() - chat.started;
    chat.tokens += 1;
    chat.text = (chat.text + data.text).slice(-MAX_TEXT);
    chat.fresh = ((chat.fresh || "") + data.text).slice(-MAX_TEXT);
    chat.note = `${chat.tokens} tokens`;
    if (chat === shown) appendSoon();
  }
  if (name === "done") {
    chat.passages = data.passages || [];
    end(chat, "complete", data);
  }
  if (name === "error") end(chat, "failed", data);
}

function end(chat, state, data = {}) {
  chat.state = state;
  chat.ended = now();
  const path = data.path && data.path.length ? ` along ${data.path.join(" → ")}` : "";
  const code = data.code ? ` (code ${data.code}${data.side ? `, ${data.side} side` : ""}${path})` : "";
  chat.note = {
    complete: `Complete: ${data.tokens} tokens in ${((data.took_ms || 0) / 1000).toFixed(1)} s${data.finish === "limit" ? ", ended by the agent at its limit" : ""}.`,
    stopped: `Stopped after ${chat.tokens} tokens.`,
    failed: `${data.message || "failed"}${code}`,
  }[state];
  draw();
}

function stop(chat = shown) {
  if (!chat || chat.state !== "streaming") return;
  chat.clicked = now();
  worker.postMessage({ id: chat.id, abort: true });
  end(chat, "stopped");
}

// ---- the tree over all services

function watch() {
  const source = new EventSource(`/tree?client=${client}`);
  source.addEventListener("tree", event => {
    const { chats: trees, open, crowd: others } = JSON.parse(event.data);
    crowd = { ...others, open };
    for (const chat of chats.values()) {
      const tree = trees[chat.id];
      chat.tree = tree || null;
      if (tree) walk(tree, 0, chat.hops);
    }
    drawTree();
    drawSaved();
    drawCrowd();
  });
  source.addEventListener("report", event => {
    const report = JSON.parse(event.data);
    const chat = chats.get(report.chat);
    if (!chat) return;
    chat.reports.set(report.service, { ...report, at: report.ts / 1e6 });
    drawTree();
    drawSaved();
  });
}

/** Notes of each hop what its handler's end says; the gateway has only the client's end. */
function walk(end, depth, hops) {
  const server = end.side === "server" || depth === 0;
  if (server) {
    hops.set(end.process, {
      depth, state: end.state, age: end.age_ms,
      messages: depth === 0 ? end.received.messages : end.sent.messages,
      bytes: depth === 0 ? end.received.bytes : end.sent.bytes,
    });
  }
  for (const child of end.children || []) walk(child, depth + (child.side === "server" ? 1 : 0), hops);
}

const ORDER = ["gateway", "agent", "model", "retriever"];

function drawTree() {
  const list = byId("hops");
  const chat = shown;
  const nodes = [];
  if (chat) {
    nodes.push(node({
      service: "browser", depth: 0, kind: chat.state === "stopped" ? "canceled" : chat.state === "streaming" ? "live" : "",
      state: chat.state, facts: [`${chat.tokens} tokens shown`], at: 0,
      error: chat.clicked ? "Stop was pressed: the connection is closed" : "",
    }));
    const names = new Set([...ORDER.filter(name => chat.hops.has(name) || chat.reports.has(name)), ...chat.hops.keys()]);
    for (const name of names) nodes.push(hop(chat, name));
  }
  place(list, nodes);
  const last = chat && chat.clicked && Math.max(...[...chat.reports.values()].map(report => report.at));
  byId("wave").textContent = last > 0 && Number.isFinite(last) ? `click to last hop ${(last - chat.clicked).toFixed(1)} ms` : "";
}

/** Puts the nodes into the list; those that are there already are changed, so that a wave is seen once. */
function place(list, nodes) {
  const there = list.dataset.chat === (shown ? shown.id : "") ? [...list.children] : [];
  list.dataset.chat = shown ? shown.id : "";
  const placed = nodes.map(node => {
    const old = there.find(item => item.dataset.service === node.dataset.service);
    if (!old) return node;
    old.className = node.className;
    old.dataset.state = node.dataset.state;
    old.replaceChildren(...node.children);
    return old;
  });
  if (placed.length !== there.length || placed.some((item, at) => item !== there[at])) list.replaceChildren(...placed);
}

function hop(chat, name) {
  const seen = chat.hops.get(name) || {}, report = chat.reports.get(name);
  const depth = { gateway: 1, agent: 2, model: 3, retriever: 3 }[name] || 1;
  const alive = !report && chat.tree;
  const facts = [];
  const messages = report ? report.tokens : seen.messages;
  if (messages !== undefined) facts.push(`${messages} ${name === "retriever" ? "passages" : "messages"}`);
  if (seen.bytes) facts.push(seen.bytes < 10000 ? `${seen.bytes} B` : `${(seen.bytes / 1024).toFixed(0)} KB`);
  if (seen.age !== undefined) facts.push(`${(seen.age / 1000).toFixed(1)} s`);
  if (report && report.end === "canceled" && chat.clicked) facts.push(`+${(report.at - chat.clicked).toFixed(1)} ms`);
  if (report && report.late !== undefined && report.end !== "complete") facts.push(`${report.late} after the cancel`);
  const kind = report ? { canceled: "canceled", failed: "failed" }[report.end] || "" : alive ? "live" : "";
  return node({
    service: name, depth, kind, at: depth, facts,
    state: report ? report.end : alive ? seen.state || "open" : "ended",
    error: report && report.error ? report.error : "",
  });
}

function node({ service, depth, kind, state, facts, error, at }) {
  const item = document.createElement("li");
  item.className = `d${depth} ${kind}`;
  item.dataset.service = service;
  item.dataset.state = state;
  item.style.setProperty("--at", at);
  const row = document.createElement("div");
  row.className = "row";
  const name = document.createElement("b");
  name.textContent = service;
  row.append(name);
  for (const fact of [state, ...facts]) {
    const span = document.createElement("span");
    span.textContent = fact;
    row.append(span);
  }
  item.append(row);
  if (error) {
    const text = document.createElement("p");
    text.className = "error";
    text.textContent = error;
    item.append(text);
  }
  return item;
}

// ---- drawing

/** Shows what has come, once a frame: a layout for each token of a fast reply would block the page, and Stop with it. */
function appendSoon() {
  if (!frame) frame = requestAnimationFrame(append);
}

function append() {
  frame = 0;
  const reply = byId("reply"), place = reply.querySelector(".text");
  if (!shown || !shown.fresh || !place) return;
  const near = reply.scrollHeight - reply.scrollTop - reply.clientHeight < 40;
  if (place.textContent.length + shown.fresh.length > MAX_TEXT) place.textContent = shown.text;
  else place.append(shown.fresh);
  shown.fresh = "";
  if (near) reply.scrollTop = reply.scrollHeight;
  if (shown.state === "streaming") byId("status").textContent = shown.note;
}

function draw() {
  const reply = byId("reply");
  reply.replaceChildren();
  if (shown) {
    const question = document.createElement("p"), text = document.createElement("p");
    question.className = "ask";
    question.textContent = shown.prompt;
    text.className = "text";
    text.textContent = shown.text;
    shown.fresh = "";
    reply.append(question, text);
    if (shown.passages.length) {
      const sources = document.createElement("ul");
      sources.className = "sources";
      sources.setAttribute("aria-label", "Passages that the retriever found");
      for (const passage of shown.passages) {
        const item = document.createElement("li");
        item.textContent = passage;
        sources.append(item);
      }
      reply.append(sources);
    }
    say(shown.note, shown.state === "failed");
  }
  byId("stop").disabled = !shown || shown.state !== "streaming";
  drawTabs();
  drawTree();
  drawSaved();
}

function drawTabs() {
  byId("tabs").replaceChildren(...[...chats.values()].map(chat => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.role = "tab";
    tab.ariaSelected = String(chat === shown);
    tab.tabIndex = chat === shown ? 0 : -1;
    tab.textContent = `${chat.state === "streaming" ? "● " : ""}${chat.title}`;
    tab.onclick = () => { shown = chat; draw(); };
    return tab;
  }));
}

/** Tokens made, delivered, and not made because of cancels. What a reply would have had is what replies had so far. */
function drawSaved() {
  let made = 0, delivered = 0, saved = 0, late = 0;
  for (const chat of chats.values()) {
    const model = chat.reports.get("model");
    const done = model ? model.tokens : (chat.hops.get("model") || {}).messages || chat.tokens;
    made += done;
    delivered += chat.tokens;
    if (model && model.end === "canceled") {
      saved += Math.max(0, chat.expected - done);
      late += model.late || 0;
    }
  }
  byId("made").textContent = made;
  byId("delivered").textContent = delivered;
  byId("not-made").textContent = saved ? `≈ ${saved} (${Math.round(100 * saved / (saved + made))} %)` : "0";
  byId("late").textContent = late;
}

function drawCrowd() {
  if (!crowd || !(crowd.reading || crowd.complete || crowd.failed)) return;
  byId("crowd").textContent =
    `Other users: ${crowd.reading} reading, ${crowd.complete} complete, ${crowd.failed} failed, ${crowd.tokens} tokens. ` +
    `Open now: ${Object.entries(crowd.open).map(([name, count]) => `${name} ${count}`).join(", ")}.`;
}

function say(text, bad = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("bad", bad);
}

// ---- scenarios

const until = (chat, ready) => new Promise(resolve => {
  const timer = setInterval(() => {
    if (ready() || chat.state !== "streaming") { clearInterval(timer); resolve(); }
  }, 20);
});

const post = (path, body = {}) =>
  fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

const SKY = "why is the sky blue?";
const scenarios = {
  "first": ["Stop before the first token", async () => {
    const chat = ask(SKY, { first_token_ms: 5000 }, "before the first token");
    if (chat) await until(chat, () => chat.hops.has("model"));
    stop(chat);
  }],
  "middle": ["Stop in mid-stream", async () => {
    const chat = ask(SKY, { interval_ms: 40, length: 120 }, "mid-stream");
    if (chat) await until(chat, () => chat.tokens >= 20);
    stop(chat);
  }],
  "close": ["Close the tab", () => {
    say("Ask something, then close this tab, reload it or go back: the chain ends the same way. The services print it.");
    ask(SKY, { interval_ms: 100, length: 400 }, "close the tab now");
  }],
  "kill": ["Kill the model process", async () => {
    const chat = ask(SKY, { interval_ms: 60, length: 300 }, "the model is killed");
    if (chat) await until(chat, () => chat.tokens >= 10);
    const answer = await post("/scene/kill/model");
    if (!answer.ok) say("The services belong to somebody else here: kill the model's process yourself.", true);
  }, "scene"],
  "slow": ["Slow reader", () => ask(SKY, { interval_ms: 0, length: 2000000, slow: 400 }, "slow reader")],
  "deadline": ["Deadline of 1 s", () => ask(SKY, { interval_ms: 40, length: 400, deadline_ms: 1000 }, "deadline")],
  "branch": ["Agent cancels one branch", () => ask(SKY, { interval_ms: 40, length: 80, sources: 2 }, "one branch")],
  "crowd": ["One of 100 users stops", async () => {
    await post("/scene/crowd", { users: 99, length: 120, interval_ms: 60 });
    const chat = ask(SKY, { interval_ms: 60, length: 120 }, "one of 100");
    if (chat) await until(chat, () => chat.tokens >= 15);
    stop(chat);
  }, "scene"],
};

// ---- start

byId("ask").addEventListener("submit", event => {
  event.preventDefault();
  const prompt = byId("prompt").value.trim();
  if (prompt) ask(prompt);
});
byId("stop").addEventListener("click", () => stop());
document.addEventListener("keydown", event => {
  if (event.key === "Escape") stop();
  if (event.target.role === "tab" && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
    const all = [...chats.values()];
    const at = all.indexOf(shown) + (event.key === "ArrowRight" ? 1 : -1);
    shown = all[(at + all.length) % all.length];
    draw();
    byId("tabs").querySelector("[aria-selected=true]").focus();
  }
});

scene = await fetch("/scene").then(answer => answer.json()).catch(() => scene);
byId("about").textContent = `browser → gateway → agent → model and retriever. Model: ${scene.model}.`;
byId("scenarios").replaceChildren(...Object.entries(scenarios).filter(([, [, , needs]]) => !needs || scene[needs]).map(([name, [title, run]]) => {
  const item = document.createElement("li"), button = document.createElement("button");
  button.type = "button";
  button.dataset.scenario = name;
  button.textContent = title;
  button.onclick = run;
  item.append(button);
  return item;
}));
watch();
// For tests: what a person would read off the page.
window.scene = { chats, ask, stop, shown: () => shown, crowd: () => crowd, client };
byId("prompt").focus();
if (link.get("ask")) {
  const wishes = [...link].filter(([name]) => name !== "ask" && name !== "client");
  ask(link.get("ask"), Object.fromEntries(wishes.map(([name, value]) => [name, Number(value)])));
}
