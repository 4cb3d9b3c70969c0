// The flow view draws what the kernel tells: a page (who stands where), and moves (time, route, frames).
// It keeps all moves, so that one can stop, go slowly, and step back and forth. Text is only ever drawn as text.

const TRAVEL = 0.55; // seconds that a dot needs for one hop: stylised, the wire needs some microseconds
const CAUSED = 0.05; // what leaves a place so soon after something came there waits until that has arrived on screen
const HOPS = 10; // so long it waits at most, or three hops where much passes
const FEW = 25; // moves a second on one route that are still seen one by one
const LAG = 0.08; // the view is so much behind, so that what comes in batches moves evenly
const FONT = '15px "DejaVu Sans", Verdana, sans-serif';
const STILL_HERE = 60; // seconds between two words to the kernel that somebody still looks
const TICK = 1e4; // moves count time in units of 0.1 ms

const SHAPES = {
  message: (g, r) => g.arc(0, 0, r, 0, 2 * Math.PI),
  request: (g, r) => polygon(g, [[0, -1.3 * r], [1.3 * r, 0], [0, 1.3 * r], [-1.3 * r, 0]]),
  reply: (g, r) => polygon(g, [[0, -1.2 * r], [1.2 * r, r], [-1.2 * r, r]]),
  ack: (g, r) => g.rect(-0.8 * r, -0.8 * r, 1.6 * r, 1.6 * r),
  puback: (g, r) => g.rect(-0.8 * r, -0.8 * r, 1.6 * r, 1.6 * r),
  error: (g, r) => polygon(g, [[-r, -r], [r, -r], [0, r]]),
};
const HOLLOW = new Set(["puback"]);
const COUNTED = new Set(["message", "request", "reply"]);

function polygon(g, points) {
  points.forEach(([x, y], at) => (at ? g.lineTo(x, y) : g.moveTo(x, y)));
  g.closePath();
}

const written = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const short = (value) => (value < 10_000 ? written.format(value) : compact.format(value).replace("K", "k"));

/** All that is known: the page, the moves, and when each is to be seen. */
class Record {
  constructor() {
    this.page = null;
    this.streams = []; // [time, positions], in the order of time
    this.size = 0;
    this.moves = new Uint32Array(3 * 1024);
    this.starts = new Float64Array(1024);
    this.tally = new Tally(this);
    this.lanes = new Map(); // when something last came: [true time, time on screen]
    this.places = new Map();
    this.sent = new Map();
    this.any = [-1, 0];
  }

  add(moves) {
    const count = moves.length / 3;
    while (3 * (this.size + count) > this.moves.length) {
      const wider = new Uint32Array(2 * this.moves.length);
      wider.set(this.moves);
      this.moves = wider;
      const longer = new Float64Array(2 * this.starts.length);
      longer.set(this.starts);
      this.starts = longer;
    }
    this.moves.set(moves, 3 * this.size);
    for (let at = 0; at < count; at++) {
      const route = moves[3 * at + 1];
      const start = this.seen(moves[3 * at] / TICK, route);
      this.starts[this.size + at] = start;
      this.tally.add(this.page.routes[route][2] ? start : start + TRAVEL, this.size + at);
    }
    this.size += count;
  }

  /** When a move begins on screen: not before what caused it has arrived there. */
  seen(time, route) {
    const [, place, toServer, lane] = this.page.routes[route];
    const causes = toServer
      ? [this.places.get(place)]
      : this.page.lanes[lane].kind === "subject"
        ? [this.lanes.get(lane)]
        : [this.lanes.get(lane), this.sent.get(place), this.page.lanes[lane].kind === "stream" ? this.any : undefined];
    let start = time;
    for (const cause of causes) if (cause && time - cause[0] < CAUSED) start = Math.max(start, cause[1]);
    const crowded = this.size > FEW && time - this.moves[3 * (this.size - FEW)] / TICK < 1;
    start = Math.min(start, time + (crowded ? 3 : HOPS) * TRAVEL);
    const arrived = [time, start + TRAVEL];
    if (toServer) {
      this.lanes.set(lane, arrived);
      this.sent.set(place, arrived);
      this.any = arrived;
    } else this.places.set(place, arrived);
    return start;
  }

  get begin() {
    return this.size ? this.moves[0] / TICK - 0.1 : 0;
  }

  /** When the last move counts. */
  get last() {
    return this.tally.dues.length ? this.tally.dues.at(-1)[0] : 0;
  }

  get end() {
    return this.last + TRAVEL;
  }

  /** The first move later than a time, by the wire's clock. */
  after(time) {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.moves[3 * middle] / TICK <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  positions(time) {
    for (let at = this.streams.length - 1; at >= 0; at--) if (this.streams[at][0] <= time) return this.streams[at][1];
    return {};
  }
}

/** How many frames each route has carried: sent when they leave, delivered when they arrive. Follows time both ways. */
class Tally {
  constructor(record) {
    this.record = record;
    this.counts = [];
    this.dues = []; // [when a move counts, its number], in the order of time
    this.upTo = 0;
  }

  add(time, move) {
    let place = this.dues.length;
    while (place && this.dues[place - 1][0] > time) place--; // nearly sorted: a few steps
    this.dues.splice(place, 0, [time, move]);
    if (place < this.upTo) {
      this.count(move, 1);
      this.upTo++;
    }
  }

  follow(time) {
    const { dues } = this;
    while (this.upTo < dues.length && dues[this.upTo][0] <= time) this.count(dues[this.upTo++][1], 1);
    while (this.upTo > 0 && dues[this.upTo - 1][0] > time) this.count(dues[--this.upTo][1], -1);
  }

  count(move, sign) {
    const { moves } = this.record;
    const route = moves[3 * move + 1];
    this.counts[route] = (this.counts[route] || 0) + sign * moves[3 * move + 2];
  }

  sum(wanted) {
    return this.record.page.routes.reduce((sum, route, at) => sum + (wanted(route) ? this.counts[at] || 0 : 0), 0);
  }
}

function render({ model, el }) {
  const record = new Record();
  const { tally } = record;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let now = 0;
  let offset = null; // of our clock to the wire's
  let behind = 0; // seconds that we take our time, since what is shown came late
  let mode = "live"; // paused, playing
  let last = performance.now() / 1000;
  let said = 0;
  let frames = 0;
  let visible = true;
  let gone = false;

  // The page around the canvas

  const root = make("div", "natsdemo-flow", el);
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab leaves the keys to us
  const counts = make("div", "counts", root);
  const canvas = make("canvas", "", root);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  const bar = make("div", "bar", root);
  const button = (label, sign, act) => {
    const made = make("button", "", bar);
    made.type = "button";
    made.textContent = sign;
    made.title = made.ariaLabel = label;
    made.onclick = act;
    return made;
  };
  button("From the beginning (Home)", "again", () => play(record.begin));
  const pause = button("Pause or go on (space)", "pause", () => toggle());
  button("One message back (←)", "‹ back", () => step(-1));
  button("One message on (→)", "on ›", () => step(1));
  const speed = make("select", "", bar);
  speed.ariaLabel = "Speed";
  for (const [value, text] of [[1, "1×"], [0.2, "1/5"], [0.04, "1/25"]]) speed.add(new Option(text, value));
  speed.onchange = () => speed.value < 1 && mode === "live" && ((mode = "playing"), paint());
  const slider = make("input", "", bar);
  Object.assign(slider, { type: "range", min: 0, max: 1000, value: 1000, ariaLabel: "Moment" });
  slider.oninput = () => hold(record.begin + (slider.value / 1000) * (record.end - record.begin));
  const live = button("What is happening now (End)", "now", () => goLive());
  const legend = make("details", "legend", root);
  make("summary", "", legend).textContent = "Legend";
  const meanings = make("p", "", legend);
  const spoken = make("div", "spoken", root);
  spoken.setAttribute("aria-live", "polite");

  const keys = { " ": toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => play(record.begin), End: goLive };
  root.addEventListener("keydown", (event) => {
    if (event.target === canvas && keys[event.key]) {
      keys[event.key]();
      event.preventDefault();
    }
    event.stopPropagation();
  });

  // Time

  function hold(time) {
    mode = "paused";
    now = Math.min(Math.max(time, record.begin), record.end);
    paint();
  }
  function play(time) {
    mode = "playing";
    now = time;
    wake();
  }
  function goLive() {
    mode = "live";
    behind = 0;
    speed.value = 1;
    wake();
  }
  function toggle() {
    if (mode === "paused") play(now >= record.end ? record.begin : now);
    else hold(now);
    wake();
  }
  function step(way) {
    const halves = record.starts.slice(0, record.size).sort().map((start) => start + TRAVEL / 2);
    const later = halves.findIndex((half) => half > now + 1e-6);
    if (way > 0 && later >= 0) hold(halves[later]);
    if (way < 0) {
      const earlier = halves.findLast((half) => half < now - 1e-6);
      hold(earlier ?? record.begin);
    }
  }
  function advance() {
    const clock = performance.now() / 1000;
    const passed = Math.min(clock - last, 0.25);
    last = clock;
    if (mode === "playing") {
      now += passed * speed.value;
      if (now >= record.end) mode = offset === null ? "paused" : "live";
    } else if (mode === "live") {
      behind = Math.max(0, behind - 0.25 * passed);
      now = offset === null ? record.end : clock - offset - LAG - behind;
    }
  }

  // What the kernel tells

  function take(message, buffers) {
    if (message.page) {
      record.page = message.page;
      explain();
    }
    const data = buffers?.[0];
    if (data && message.from <= record.size) {
      const moves = new Uint32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
      const fresh = moves.subarray(3 * (record.size - message.from));
      if (fresh.length) record.add(fresh);
    } else if (data) model.send({ have: record.size });
    if (message.streams) record.streams.push([Math.max(message.time, record.last), message.streams]);
    const clock = performance.now() / 1000;
    if (message.now && (offset === null || clock - message.now < offset)) offset = clock - message.now;
    if (mode === "live" && now - message.since > 0.25) behind = Math.min(3, behind + now - message.since);
    wake();
  }
  const heard = (message, buffers) => take(message, buffers);
  model.on("msg:custom", heard);

  // Drawing

  const g = canvas.getContext("2d");
  const backdrop = document.createElement("canvas"); // where much passes, all but the bands is drawn ten times a second
  let grounded = 0;
  let colour = {};

  function wake() {
    if (visible && !gone && !wake.due) wake.due = requestAnimationFrame(frame);
  }
  function frame() {
    wake.due = 0;
    frames++;
    advance();
    paint();
    const moving = mode === "playing" || (mode === "live" && now < record.end + 0.5);
    if (moving && still.matches) wake.due = setTimeout(frame, 250);
    else if (moving) wake();
  }

  function paint() {
    const page = record.page;
    if (!page) return;
    if (mode === "live" && offset === null) now = record.end;
    const resized = fit(page);
    tally.follow(now);
    const seen = look();
    const clock = performance.now();
    const busy = [...seen.rates.values()].some((rate) => rate > FEW);
    if (resized || !busy || mode === "paused" || clock - grounded > 100) {
      g.fillStyle = colour.card;
      g.fillRect(0, 0, page.width, page.height);
      ground(page, seen.rates);
      tell();
      grounded = clock;
      backdrop.getContext("2d").drawImage(canvas, 0, 0);
    } else {
      g.save();
      g.resetTransform();
      g.drawImage(backdrop, 0, 0);
      g.restore();
    }
    for (const [at, rate] of seen.rates) if (rate > FEW || still.matches) band(page, at, rate);
    if (!still.matches) for (const at of seen.dots) if (seen.rates.get(record.moves[3 * at + 1]) <= FEW) dot(page, at);
    root.dataset.frames = frames;
  }

  function fit(page) {
    const light = document.body.dataset.jpThemeLight;
    const dark = light ? light === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
    colour = model.get("palette")[dark ? "dark" : "light"];
    const wide = Math.min(root.clientWidth || page.width, 1600);
    const scale = (wide / page.width) * (window.devicePixelRatio || 1);
    const [width, height] = [Math.round(page.width * scale), Math.round(page.height * scale)];
    const resized = canvas.width !== width || canvas.height !== height;
    if (resized) {
      for (const each of [canvas, backdrop]) Object.assign(each, { width, height });
      canvas.style.height = `${(page.height * wide) / page.width}px`;
    }
    g.setTransform(scale, 0, 0, scale, 0, 0);
    return resized;
  }

  /** The moves on their way, and how many frames each route carries a second. */
  function look() {
    const rates = new Map();
    const dots = [];
    for (let at = record.after(now - (HOPS + 2) * TRAVEL); at < record.size && record.moves[3 * at] / TICK <= now; at++) {
      const age = now - record.starts[at];
      const route = record.moves[3 * at + 1];
      if (age >= 0 && age < 1) rates.set(route, (rates.get(route) || 0) + record.moves[3 * at + 2]);
      if (age >= 0 && age < 2 * TRAVEL) dots.push(at);
      if (!rates.has(route)) rates.set(route, 0);
    }
    return { rates, dots };
  }

  function ground(page, rates) {
    g.textBaseline = "alphabetic";
    const routes = new Set(page.routes.map(([, place, toServer, lane]) => `${place} ${toServer} ${lane}`));
    for (const way of routes) {
      const [place, toServer, lane] = way.split(" ");
      trace(page, +place, +lane, toServer === "true");
      g.strokeStyle = page.places[place].struck ? colour.fault : colour.faint;
      g.lineWidth = page.places[place].struck ? 3 : 1.2;
      g.stroke();
    }
    page.places.forEach((place, at) => {
      box(place.box, place.struck ? colour.window : colour.client, colour[place.tint] || colour.server);
      const [x0, y0, x1, y1] = place.box;
      const gone = place.state ? ` (${place.state})` : "";
      let rate = 0;
      for (const [route, frames] of rates) if (page.routes[route][1] === at && COUNTED.has(page.routes[route][0])) rate += frames;
      g.textAlign = "right";
      if (rate) write(`${short(rate)}/s`, x1 - 10, y0 + 21, 70, colour.note);
      g.textAlign = "left";
      write(place.name + gone, x0 + 10, y0 + 21, x1 - x0 - (rate ? 90 : 20), colour[place.tint] || colour.ink, true);
      const sent = tally.sum((r) => r[1] === at && r[2] && COUNTED.has(r[0]));
      const got = tally.sum((r) => r[1] === at && !r[2] && COUNTED.has(r[0]) && r[5] !== "lost");
      write(`sent ${written.format(sent)}   got ${written.format(got)}`, x0 + 10, y1 - 10, x1 - x0 - 20, colour.ink);
    });
    for (const [name, y0, y1] of page.groups) {
      const x = page.width - 220;
      g.strokeStyle = colour.note;
      g.lineWidth = 2;
      g.beginPath();
      polygonOpen([[x + 7, y0], [x, y0], [x, y1], [x + 7, y1]]);
      g.stroke();
      write(name, x, y0 - 7, 220, colour.note, true);
    }
    box(page.server, colour.card, colour.server);
    const [x0, y0, x1] = page.server;
    g.textAlign = "center";
    write(page.nodes, (x0 + x1) / 2, y0 + 24, x1 - x0 - 16, colour.ink, true);
    g.textAlign = "left";
    const positions = record.positions(now);
    page.lanes.forEach((lane, at) => row(page, lane, at, positions[at]));
    floor(page);
  }

  function row(page, lane, at, position) {
    const [x0, y0, x1] = lane.box;
    box(lane.box, colour.client);
    const stream = lane.kind === "stream";
    const way = (toServer) => tally.sum((r) => r[3] === at && r[2] === toServer && r[5] !== "lost" && r[0] !== "ack");
    const says = stream ? `${written.format(position?.stored || 0)} stored` : `${short(way(true))} in  ${short(way(false))} out`;
    g.textAlign = "right";
    write(says, x1 - 8, y0 + 17, 150, colour.note);
    g.textAlign = "left";
    const room = x1 - x0 - 26 - g.measureText(says).width;
    write(stream ? `stream ${lane.name}` : lane.name, x0 + 8, y0 + 17, room, colour.ink, true);
    if (!stream) return;
    const stored = position?.stored || 0;
    const first = Math.max(stored - page.slots, 0);
    for (let slot = 0; slot < page.slots; slot++) {
      const x = x0 + 8 + slot * 13;
      g.fillStyle = first + slot < stored ? colour.published : colour.card;
      g.fillRect(x, y0 + 24, 11, 10);
      g.strokeStyle = colour.note;
      g.lineWidth = 1;
      g.strokeRect(x, y0 + 24, 11, 10);
    }
    (position?.consumers || []).forEach(([name, seen, waiting], at) => {
      const tip = x0 + 8 + Math.max(Math.min(seen - first, page.slots) - 0.5, 0) * 13;
      g.save();
      g.translate(tip, y0 + 42);
      g.fillStyle = colour.delivered;
      g.beginPath();
      SHAPES.reply(g, 5);
      g.fill();
      g.restore();
      const text = `${name} at ${written.format(seen)}${waiting ? `, ${written.format(waiting)} not acked` : ""}`;
      g.font = FONT;
      const wide = g.measureText(text).width;
      const x = tip + 10 + wide < x1 - 8 ? tip + 10 : Math.max(x0 + 8, tip - 10 - wide);
      write(text, x, y0 + 54 + 20 * at, x1 - x0 - 16, colour.ink);
    });
  }

  function floor(page) {
    for (const [toServer, x] of [[true, 272], [false, 688]]) {
      const lost = tally.sum((r) => r[5] === "lost" && r[2] === toServer);
      for (let mark = 0; mark < Math.min(lost, 12); mark++) cross(x - 60 + mark * 11, page.floor + 12);
      g.textAlign = "center";
      if (lost) write(`${written.format(lost)} lost on the wire`, x, page.floor + 36, 200, colour.lost, true);
      g.textAlign = "left";
    }
  }

  function ends(page, place, lane, toServer) {
    const [px0, py0, px1, py1] = page.places[place].box;
    const [lx0, ly0, lx1] = page.lanes[lane].box;
    const left = page.places[place].side === "left";
    const apart = toServer ? -4 : 4;
    return [left ? px1 : px0, (py0 + py1) / 2 + apart, left ? lx0 : lx1, ly0 + 28 + apart];
  }
  function trace(page, place, lane, toServer) {
    const [x0, y0, x1, y1] = ends(page, place, lane, toServer);
    const bend = (x0 + x1) / 2;
    g.beginPath();
    g.moveTo(x0, y0);
    g.bezierCurveTo(bend, y0, bend, y1, x1, y1);
  }
  function point(page, place, lane, toServer, u) {
    const [x0, y0, x1, y1] = ends(page, place, lane, toServer);
    const v = toServer ? u : 1 - u;
    const w = 1 - v;
    const bend = (x0 + x1) / 2;
    const [a, b, c] = [w * w * w, 3 * v * w, v * v * v];
    return [a * x0 + b * bend + c * x1, (a + b * w) * y0 + (b * v + c) * y1];
  }

  function band(page, at, rate) {
    if (!rate) return;
    const [, place, toServer, lane, tint, fate] = page.routes[at];
    trace(page, place, lane, toServer);
    g.save();
    g.strokeStyle = fate === "lost" ? colour.lost : colour[tint] || colour.note;
    g.lineWidth = Math.min(2 + 2 * Math.log2(1 + rate / FEW), 24);
    g.globalAlpha = 0.4;
    g.stroke();
    g.globalAlpha = 0.9;
    g.lineWidth = Math.max(g.lineWidth / 4, 2);
    g.setLineDash([8, 16]);
    g.lineDashOffset = (toServer ? -1 : 1) * now * 90;
    g.stroke();
    g.restore();
    const [x, y] = point(page, place, lane, toServer, 0.5);
    g.textAlign = "center";
    write(`${short(rate)}/s`, x, y - 4, 90, colour.ink, true, colour.card);
    g.textAlign = "left";
  }

  function dot(page, at) {
    const [kind, place, toServer, lane, tint, fate, times] = page.routes[record.moves[3 * at + 1]];
    const many = record.moves[3 * at + 2];
    let u = (now - record.starts[at]) / TRAVEL;
    let [x, y] = point(page, place, lane, toServer, Math.min(u, fate === "lost" ? 0.5 : 1));
    if (fate === "lost" && u > 0.5) {
      y += (page.floor + 12 - y) * Math.min((u - 0.5) ** 2 / 0.5, 1);
      if (u > 1.25) return;
      cross(x, y, 7);
      return;
    }
    if (u > 1) return;
    g.save();
    g.translate(x, y);
    g.fillStyle = times ? colour.redelivered : colour[tint] || colour.note;
    g.strokeStyle = HOLLOW.has(kind) ? g.fillStyle : colour.card;
    if (HOLLOW.has(kind)) g.fillStyle = colour.card;
    g.lineWidth = 2;
    g.beginPath();
    (SHAPES[kind] || SHAPES.message)(g, many > 1 || times ? 10 : kind === "ack" || kind === "puback" ? 6 : 7);
    g.fill();
    g.stroke();
    g.textAlign = "center";
    if (fate === "copy") write("copy", 0, -11, 60, colour.fault, true);
    if (times || many > 1) write(times ? `${times}` : short(many), 0, 5, 40, colour.card, true);
    g.restore();
  }

  function cross(x, y, size = 4) {
    g.strokeStyle = colour.lost;
    g.lineWidth = 2.6;
    g.beginPath();
    for (const way of [1, -1]) {
      g.moveTo(x - size, y - way * size);
      g.lineTo(x + size, y + way * size);
    }
    g.stroke();
  }
  function polygonOpen(points) {
    points.forEach(([x, y], at) => (at ? g.lineTo(x, y) : g.moveTo(x, y)));
  }
  function box([x0, y0, x1, y1], fill, edge) {
    g.beginPath();
    g.roundRect(x0, y0, x1 - x0, y1 - y0, 6);
    g.fillStyle = fill;
    g.fill();
    if (!edge) return;
    g.strokeStyle = edge;
    g.lineWidth = 1.5;
    g.stroke();
  }
  function write(text, x, y, room, ink, bold = false, behind = "") {
    g.font = bold ? `bold ${FONT}` : FONT;
    let shown = text;
    while (shown.length > 3 && g.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
    if (behind) {
      const wide = g.measureText(shown).width + 6;
      g.fillStyle = behind;
      g.fillRect(x - (g.textAlign === "center" ? wide / 2 : 3), y - 13, wide, 17);
    }
    g.fillStyle = ink;
    g.fillText(shown, x, y);
  }

  // Words

  function tell() {
    const published = tally.sum((r) => COUNTED.has(r[0]) && r[2]);
    const delivered = tally.sum((r) => COUNTED.has(r[0]) && !r[2] && r[5] !== "lost");
    const lost = tally.sum((r) => COUNTED.has(r[0]) && r[5] === "lost");
    const text = `${written.format(published)} published, ${written.format(delivered)} delivered, ${written.format(lost)} lost`;
    if (counts.textContent !== text) counts.textContent = text;
    pause.textContent = mode === "paused" ? "play" : "pause";
    live.disabled = mode === "live";
    const span = record.end - record.begin;
    if (span && document.activeElement !== slider) slider.value = Math.round(((now - record.begin) / span) * 1000);
    const clock = performance.now();
    if (clock - said > 3000 && spoken.textContent !== text) {
      said = clock;
      canvas.ariaLabel = `Message flow: ${text}.`;
      spoken.textContent = text;
    }
  }

  function explain() {
    const kinds = [...new Set(record.page.routes.map(([kind]) => kind))];
    const signs = { message: "● message", request: "◆ request, which waits for an answer", reply: "▲ reply", ack: "■ ack, or its receipt", puback: "□ puback", error: "▼ error" };
    const words = kinds.map((kind) => signs[kind]);
    if (record.page.routes.some((r) => r[5] === "lost")) words.push("✗ lost on the wire");
    if (record.page.routes.some((r) => r[6])) words.push("a number: delivered so many times by now");
    words.push("colours are publishers", `a hop takes ${TRAVEL} s here, and microseconds on the wire`);
    words.push("keys: space, ← →, Home, End");
    meanings.textContent = `${words.join(" · ")}.`;
    root.dataset.faults = record.page.faults.join("; ");
  }

  // Begin

  const observer = new IntersectionObserver((entries) => {
    visible = entries[entries.length - 1].isIntersecting;
    if (visible) model.send({ have: record.size });
    wake();
  });
  observer.observe(canvas);
  const timer = setInterval(() => visible && !document.hidden && model.send({ have: record.size }), 1000 * STILL_HERE);
  const resized = new ResizeObserver(() => paint());
  resized.observe(root);
  take({ page: model.get("page"), streams: model.get("streams"), from: 0, time: 0 }, [model.get("moves")]);
  model.send({ have: record.size });
  paint();

  return () => {
    gone = true;
    clearInterval(timer);
    observer.disconnect();
    resized.disconnect();
    model.off("msg:custom", heard);
  };
}

function make(tag, name, parent) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  parent.appendChild(made);
  return made;
}

export default { render };
