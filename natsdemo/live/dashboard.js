// The dashboard draws what the kernel reads: a panel for each number, over the last minute. Nothing moves but by a new
// reading. Text is only ever drawn as text.

const [LEAST, SPAN] = [12, 60]; // seconds that are shown: as many as there are
const KEPT = 300; // readings
const MOST = 8; // numbers and marks
const COLUMNS = 2;
const WIDTH = 960;
const HIGH = 132; // of a panel
const LEFT = 62; // room for what the scale says
const LOOKS = 5; // seconds between two words to the kernel that somebody still looks
const OLD = 3; // seconds after which a reading is no news
const FONT = '"DejaVu Sans", Verdana, sans-serif';

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const rounded = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const written = (value) => (Math.abs(value) >= 1e6 ? compact : Math.abs(value) >= 1000 ? whole : rounded).format(value);

function render({ model, el }) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const limits = model.get("alerts");
  let seen = { names: [], marks: {}, trouble: "", closed: false };
  let rows = [];
  let next = 0; // the number of the first reading that we lack
  let heard = performance.now();
  let span = LEAST; // seconds
  let visible = true;
  let drawn = 0;
  let said = 0;

  const root = make("div", "natsdemo-dashboard", el);
  const canvas = make("canvas", "", root);
  canvas.setAttribute("role", "img");
  const told = make("div", "told", root);
  const spoken = make("div", "spoken", root);
  spoken.setAttribute("aria-live", "polite");

  // What the kernel tells

  function take(message) {
    const same = message.from <= next && String(message.names) === String(seen.names);
    const kept = same ? rows.slice(0, Math.max(0, rows.length - (next - message.from))) : [];
    rows = [...kept, ...message.rows].slice(-KEPT);
    next = message.from + message.rows.length;
    seen = message;
    heard = performance.now();
    if (!calm.matches || heard - drawn > 1000) paint();
  }
  model.on("msg:custom", take);

  function look() {
    if (visible && !document.hidden) model.send({});
    paint();
  }
  const timer = setInterval(look, LOOKS * 1000);

  // Drawing

  const g = canvas.getContext("2d");
  let colour = {};

  function paint() {
    const names = seen.names.slice(0, MOST);
    const columns = Math.min(COLUMNS, names.length) || 1;
    const high = Math.ceil(names.length / columns) * HIGH + 26 || 80;
    fit(high);
    drawn = performance.now();
    g.fillStyle = colour.card;
    g.fillRect(0, 0, WIDTH, high);
    if (!rows.length) write("Nothing was read yet.", 16, 44, 16, WIDTH, colour.ink);
    const wide = WIDTH / columns;
    const end = rows.length ? rows[rows.length - 1][0] : 0;
    span = Math.min(SPAN, Math.max(LEAST, end - (rows[0] || [0])[0]));
    names.forEach((name, at) => {
      const below = at + columns >= names.length;
      panel(name, at, (at % columns) * wide, Math.floor(at / columns) * HIGH, wide, end, below);
    });
    root.dataset.readings = next;
    tell();
  }

  function fit(high) {
    const light = document.body.dataset.jpThemeLight;
    const dark = light ? light === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
    colour = model.get("palette")[dark ? "dark" : "light"];
    const wide = Math.min(root.clientWidth || WIDTH, 1600);
    const scale = (wide / WIDTH) * (window.devicePixelRatio || 1);
    const [width, height] = [Math.round(WIDTH * scale), Math.round(high * scale)];
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      canvas.style.height = `${(high * wide) / WIDTH}px`;
    }
    g.setTransform(scale, 0, 0, scale, 0, 0);
  }

  function panel(name, at, left, top, wide, end, below) {
    const read = rows.filter(([when]) => when >= end - span).map((row) => [row[0], row[at + 1]]);
    const known = read.map(([, value]) => value).filter((value) => value !== null);
    const limit = Object.hasOwn(limits, name) ? limits[name] : null;
    const now = read.length ? read[read.length - 1][1] : null;
    const rings = limit !== null && now !== null && now > limit;

    const number = now === null ? "–" : written(now);
    g.textAlign = "right";
    write(rings ? `${number} alert` : number, left + wide - 18, top + 34, 30, wide / 2, rings ? colour.lost : colour.ink, true);
    const room = wide - 40 - g.measureText(rings ? `${number} alert` : number).width;
    g.textAlign = "left";
    write(name, left + 16, top + 32, 17, room, colour.ink, true);

    const [x0, x1, y0, y1] = [left + LEFT, left + wide - 18, top + HIGH - 12, top + 48];
    const low = Math.min(0, ...known);
    const most = Math.max(...known, limit ?? 0, low + 1e-9) * 1.3;
    const x = (when) => x1 - ((end - when) / span) * (x1 - x0);
    const y = (value) => y0 - ((value - low) / (most - low)) * (y0 - y1);

    if (limit !== null) shade(read, limit, x, y0, y1, x1);
    g.lineWidth = 1;
    g.strokeStyle = colour.note;
    line([[x0, y0], [x1, y0]]);
    g.textAlign = "right";
    if (limit === null || Math.max(...known, low) > limit * 1.3) {
      const highest = Math.max(...known, low);
      if (highest > 0) write(written(highest), x0 - 6, y(highest) + 5, 13, LEFT - 8, colour.note);
    }
    write(written(low), x0 - 6, y0 + 5, 13, LEFT - 8, colour.note);
    if (limit !== null) {
      g.strokeStyle = colour.lost;
      g.lineWidth = 1.6;
      g.setLineDash([9, 5]);
      line([[x0, y(limit)], [x1, y(limit)]]);
      g.setLineDash([]);
      write(`! ${written(limit)}`, x0 - 6, y(limit) + 5, 13, LEFT - 8, colour.lost, true);
    }
    marked(end).forEach(([, when], which) => {
      g.strokeStyle = colour.note;
      g.lineWidth = 1.4;
      g.setLineDash([4, 3]);
      line([[x(when), y0], [x(when), y1]]);
      g.setLineDash([]);
      g.textAlign = "left";
      write(String(which + 1), x(when) + 3, y1 + 10, 13, 30, colour.ink, true);
    });
    trace(read, x, y, x1);
    if (below) {
      const step = span > 30 ? 20 : span > 15 ? 10 : 4;
      for (let ago = 0; ago <= span; ago += step) {
        g.textAlign = ago ? "center" : "right";
        write(ago ? `−${ago} s` : "now", x(end - ago), y0 + 19, 13, 60, colour.note);
      }
    }
    g.textAlign = "left";
  }

  /** Values hold until the next reading; where nothing was read there is no line. */
  function trace(read, x, y, x1) {
    g.strokeStyle = colour.published;
    g.lineWidth = 2.6;
    g.beginPath();
    let open = false;
    read.forEach(([when, value], at) => {
      if (value !== null) {
        const until = at + 1 < read.length ? x(read[at + 1][0]) : x1;
        open ? g.lineTo(x(when), y(value)) : g.moveTo(x(when), y(value));
        g.lineTo(until, y(value));
      }
      open = value !== null;
    });
    g.stroke();
  }

  /** Tinted and hatched, so that it is not told by its colour alone. */
  function shade(read, limit, x, y0, y1, x1) {
    for (let at = 0; at < read.length; at++) {
      if (read[at][1] === null || read[at][1] <= limit) continue;
      const begin = x(read[at][0]);
      while (at + 1 < read.length && read[at + 1][1] !== null && read[at + 1][1] > limit) at++;
      const end = Math.max(at + 1 < read.length ? x(read[at + 1][0]) : x1, begin + 2);
      g.save();
      g.beginPath();
      g.rect(begin, y1, end - begin, y0 - y1);
      g.clip();
      g.fillStyle = colour.window;
      g.fillRect(begin, y1, end - begin, y0 - y1);
      g.strokeStyle = colour.lost;
      g.lineWidth = 1;
      g.globalAlpha = 0.55;
      const high = y0 - y1;
      for (let at = Math.floor((begin - high) / 9) * 9; at < end; at += 9) line([[at, y0], [at + high, y1]]);
      g.restore();
    }
  }

  function marked(end) {
    return Object.entries(seen.marks)
      .filter(([, when]) => when >= end - span && when <= end)
      .sort((a, b) => a[1] - b[1])
      .slice(-MOST);
  }

  function line(points) {
    g.beginPath();
    points.forEach(([x, y], at) => (at ? g.lineTo(x, y) : g.moveTo(x, y)));
    g.stroke();
  }

  function write(text, x, y, size, room, ink, bold = false) {
    g.font = `${bold ? "bold " : ""}${size}px ${FONT}`;
    let shown = text.slice(0, 200);
    while (shown.length > 3 && g.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
    g.fillStyle = ink;
    g.fillText(shown, x, y);
  }

  // Words

  function tell() {
    const last = rows[rows.length - 1] || [0];
    const rings = (at) => Object.hasOwn(limits, seen.names[at]) && last[at + 1] > limits[seen.names[at]];
    const marks = marked(last[0]).map(([name, when], at) => `${at + 1}: ${name}, ${Math.round(last[0] - when)} s ago`);
    const ago = Math.round((performance.now() - heard) / 1000);
    const hidden = seen.names.length - MOST;
    const words = [marks.join(" · "), seen.trouble];
    if (hidden > 0) words.push(`Not drawn: ${hidden} more ${hidden > 1 ? "numbers" : "number"}.`);
    if (seen.closed) words.push("It is closed: these are the last readings.");
    else if (ago >= OLD) words.push(`No reading for ${ago} s.`);
    set(told, words.filter(Boolean).join(" — "));
    if (performance.now() - said < 1000) return;
    said = performance.now();
    const values = seen.names.map((name, at) => `${name}: ${last[at + 1] === null ? "–" : written(last[at + 1])}${rings(at) ? ", alert" : ""}`);
    canvas.ariaLabel = `Dashboard: ${values.join("; ") || "nothing was read yet"}.`;
    const alarms = seen.names.filter((_, at) => rings(at));
    set(spoken, alarms.length ? `Alert: ${alarms.join("; ")}.` : "No alert.");
  }
  function set(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  // Begin

  const observer = new IntersectionObserver((entries) => {
    visible = entries[entries.length - 1].isIntersecting;
    look();
  });
  observer.observe(canvas);
  const resized = new ResizeObserver(() => paint());
  resized.observe(root);
  model.send({});
  paint();

  return () => {
    clearInterval(timer);
    observer.disconnect();
    resized.disconnect();
    model.off("msg:custom", take);
  };
}

function make(tag, name, parent) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  parent.appendChild(made);
  return made;
}

export default { render };
