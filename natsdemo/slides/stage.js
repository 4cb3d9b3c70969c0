// Brings a deck to life. A live moment has a kernel of its own, where all that it needs has run before the speaker
// comes to it, and an understudy that knows the same part: who fails, dies or is reset is replaced at once. What stands
// on the slides was recorded; it is shown again when nobody is left to play.
(() => {
  const preview = parent !== window || new URLSearchParams(location.search).has("receiver");
  if (preview) return; // in the window of the speaker's notes
  const { moments, token, folder, files, version } = JSON.parse(document.getElementById("stage-moments").textContent);
  const { api, module } = window.thebeCore;
  const AT_MOST = 60_000; // a moment that takes longer has failed
  const WARM = 45_000; // and so has who is not ready by then
  const HANGS = 8000; // longer than a machine that starts kernels keeps Jupyter, or a kernel, from answering
  const TRIES = 3;
  const WELL = "from natsdemo.lesson.lab import check; await check()"; // else it would wait for who does not come
  const WIDGET = "application/vnd.jupyter.widget-view+json";
  const NAME = "on-stage";
  const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const within = (ms, work, problem) => Promise.race([work, later(ms).then(() => Promise.reject(new Error(problem)))]);
  const asked = { Authorization: `token ${token}` };
  // JupyterLab reconnects to a kernel that died, awaits it nowhere, and may hear that we have sent that kernel home.
  addEventListener("unhandledrejection", (event) => {
    if (event.reason?.message === "Kernel connection disconnected") event.preventDefault();
  });

  const server = api.makeServer(
    api.makeConfiguration({ serverSettings: { baseUrl: location.origin, token, appendToken: true }, mathjaxUrl: "" }),
  );
  const connected = leaveNobody().then(() => server.connectToJupyterServer()).then(() => server.ready);

  /** Whether Jupyter answers, were it that it just lost count of its kernels (500). One that hangs is as good as none. */
  const somebodyIsThere = () =>
    fetch("/api/status", { headers: asked, signal: AbortSignal.timeout(HANGS) }).then(() => true, () => false);

  /** Kernels of this page before it was loaded again play no more. */
  async function leaveNobody() {
    const sessions = await (await fetch("/api/sessions", { headers: asked })).json();
    const ours = sessions.filter(({ path }) => path.startsWith(`${folder}/${NAME}`));
    await Promise.all(ours.map(({ id }) => fetch(`/api/sessions/${id}`, { method: "DELETE", headers: asked })));
  }

  /** One kernel that plays one moment, once. */
  class Player {
    constructor(moment) {
      this.moment = moment;
      this.failed = new Promise((_, fail) => (this.fail = fail));
      this.failed.catch(() => {});
      this.prepared = this.prepare();
      this.ready = within(WARM, Promise.race([this.prepared, this.failed]), "it did not warm up");
      this.ready.then(() => (this.isReady = true), () => {});
    }

    async prepare() {
      await connected;
      this.rendermime = api.makeRenderMimeRegistry({});
      // Labels of widgets are given to it; without one they stay empty. There is no TeX on slides.
      Object.defineProperty(this.rendermime, "latexTypesetter", { value: { typeset() {} } });
      const path = `${folder}/${NAME}-${crypto.randomUUID()}.ipynb`;
      this.session = await server.startNewSession(this.rendermime, { path, kernelName: "python3" });
      if (this.gone) return;
      this.session.kernel.statusChanged.connect((_, status) => {
        if (["dead", "restarting", "autorestarting", "terminating"].includes(status)) this.die();
      });
      await knowWidgets(this.session.manager);
      for (const [, source] of this.moment.prepare) if (!this.gone) await this.execute(source, () => {});
    }

    /** Run a cell. `hear` is called with each output; an exception in the kernel is one here. */
    async execute(source, hear) {
      const future = this.session.kernel.requestExecute({ code: source });
      future.onIOPub = ({ header: { msg_type: type }, content }) => {
        if (["stream", "display_data", "execute_result"].includes(type)) hear({ output_type: type, ...content });
      };
      const reply = await Promise.race([future.done, this.failed]);
      if (reply.content.status !== "ok") throw new Error(`${reply.content.ename}: ${reply.content.evalue}`);
    }

    die() {
      if (this.gone) return;
      this.fail(new Error("the kernel died"));
      if (this.isReady) casts.get(this.moment.name)?.lost(this, "the kernel died");
    }

    /** Go home; a kernel that is still starting would not understand it yet. */
    async leave() {
      if (this.gone) return;
      this.gone = true;
      this.fail(new Error("replaced"));
      await within(WARM, this.prepared, "").catch(() => {});
      for (let tries = 0; this.session && tries < TRIES; tries++) {
        try {
          return await this.session.shutdown();
        } catch {
          await later(2000); // it was about to be started again
        }
      }
    }
  }

  /** Widgets come from the files that the kernel's own packages have installed, not from a network. */
  async function knowWidgets(manager) {
    manager.loadClass = Object.getPrototypeOf(Object.getPrototypeOf(manager)).loadClass;
    const base = {};
    for (const name of ["DOMWidgetModel", "DOMWidgetView"]) {
      base[name] = await manager.loadClass(name, "@jupyter-widgets/base", "2.0.0");
    }
    const source = await (await fetch(`${files}/anywidget.js`)).text();
    new Function("define", source)((_, make) => {
      manager.register({ name: "anywidget", version, exports: make(base) });
    });
  }

  /** Who plays a moment, who stands by, and what has been shown of it. */
  class Cast {
    constructor(moment) {
      this.moment = moment;
      this.state = "waiting"; // running, done, saved (what was recorded is shown)
      this.tries = 0;
      this.seconds = 0;
      this.hint = ""; // what the speaker reads at the foot
      this.problem = ""; // why somebody had to be replaced
      this.turn = 0; // who was reset, or is not to be seen, has lost it
      this.losses = 0; // in a row: what always fails is not tried for ever
      this.player = this.hire();
    }

    hire() {
      const player = new Player(this.moment);
      player.ready.catch(({ message }) => player.gone || this.lost(player, message));
      return player;
    }

    standBy() {
      this.understudy ??= this.hire();
    }

    replace() {
      this.player.leave();
      this.player = this.understudy ?? this.hire();
      this.understudy = this.hire();
    }

    lost(player, problem) {
      player.leave();
      if (++this.losses > TRIES) {
        this.hint = problem;
      } else if (player === this.understudy) {
        this.understudy = this.hire();
      } else if (player === this.player && this.state !== "running") {
        this.replace();
        if (this.state === "done") this.hint = `${problem}: L plays it again`;
      }
      say();
    }

    /** Bring it back to its beginning. */
    reset() {
      this.turn++;
      this.replace();
      this.show("waiting");
    }

    /** Show what was recorded. */
    fallBack() {
      this.turn++;
      this.show("saved");
    }

    async run() {
      if (this.state === "running") return;
      if (this.state !== "waiting") this.replace();
      const turn = ++this.turn;
      this.problem = "";
      this.show("running");
      const begun = performance.now();
      for (this.tries = 1; this.tries <= TRIES && (await somebodyIsThere()); this.tries++) {
        const { player } = this;
        try {
          await within(AT_MOST, this.play(player, turn), "it took too long");
          if (turn !== this.turn) return;
          this.seconds = (performance.now() - begun) / 1000;
          this.losses = 0;
          return this.show("done");
        } catch (problem) {
          if (turn !== this.turn) return;
          this.problem = problem.message;
          if (player === this.player) this.replace();
        }
      }
      this.fallBack();
    }

    async play(player, turn) {
      await player.ready;
      await within(HANGS, player.execute(WELL, () => {}), "its server does not answer");
      for (const [cell, source] of this.moment.live) {
        const outputs = [];
        let view = false;
        await player.execute(source, (output) => {
          outputs.push(output);
          if (WIDGET in (output.data ?? {}) && turn === this.turn) {
            view = showWidget(cell, player.rendermime, output) || view;
          }
        });
        const blocks = await blocksOf(outputs);
        if (turn !== this.turn) return;
        showBlocks(cell, blocks, view);
      }
    }

    show(state) {
      this.state = state;
      this.hint = { waiting: "", running: "", done: "", saved: "recorded earlier" }[state];
      for (const place of this.moment.live.flatMap(([cell]) => placesOf(cell))) {
        if (state !== "done") fill(place, recorded.get(place));
        place.dataset.state = state;
      }
      say();
    }
  }

  // Where the outputs of a cell stand, and what was recorded there.
  const recorded = new Map();
  const placesOf = (cell) => [...document.querySelectorAll(`.slides [data-cell="${CSS.escape(cell)}"]`)];
  for (const place of document.querySelectorAll(".slides [data-cell]")) {
    place.classList.remove("fragment");
    recorded.set(place, { kind: place.className, html: place.innerHTML });
  }

  function fill(place, { kind, html }) {
    place.className = kind;
    place.innerHTML = html;
  }

  /** A view stands where its still was recorded. */
  function placeOfView(cell) {
    const places = placesOf(cell);
    return places.find((place) => recorded.get(place).kind.includes("picture")) ?? places[0];
  }

  function showWidget(cell, rendermime, output) {
    const place = placeOfView(cell);
    if (!place) return false;
    fill(place, { kind: "picture live", html: "" });
    place.dataset.state = "done";
    const area = new module.PassiveCellRenderer(cell, rendermime);
    area.attachToDOM(place);
    area.render([output]);
    new ResizeObserver(() => fit(place)).observe(area.area.node);
    return true;
  }

  /** A widget is as wide as its height allows. */
  function fit(place) {
    const area = place.querySelector(".jp-OutputArea");
    const [tall, room] = [area?.offsetHeight ?? 0, place.clientHeight];
    if (room && tall > room + 1) {
      const now = parseFloat(area.style.width) || 100;
      area.style.width = `${Math.max(30, (now * room) / tall - 0.5)}%`;
    }
  }

  /** What outputs look like on a slide: our own Python knows. */
  async function blocksOf(outputs) {
    const body = JSON.stringify(outputs);
    const answer = await fetch(`${location.pathname}/blocks`, { method: "POST", headers: asked, body });
    if (!answer.ok) throw new Error(`what it put out cannot be shown: ${answer.status}`);
    return answer.json();
  }

  /** One block in each place, and in the last one all that are left; a view has its own place, and needs no still. */
  function showBlocks(cell, blocks, view) {
    const left = blocks.filter(({ kind }) => !(view && kind === "picture"));
    const places = placesOf(cell).filter((place) => !(view && place === placeOfView(cell)));
    for (const place of places) {
      const these = left.splice(0, place === places.at(-1) ? left.length : 1);
      fill(place, { kind: these[0]?.kind ?? "", html: these.map(({ html }) => html).join("") });
      place.dataset.state = "done";
    }
  }

  // The company: who is needed now, and next.
  const casts = new Map();
  const named = new Map(moments.map((moment) => [moment.name, moment]));
  const momentOf = (slide) => slide?.dataset.moment;
  const here = () => casts.get(momentOf(Reveal.getCurrentSlide()));

  function castOf(name) {
    if (!casts.has(name)) casts.set(name, new Cast(named.get(name)));
    return casts.get(name);
  }

  /** Whoever plays now has an understudy; the next one warms up; the last one stays, for questions; others go home. */
  function gather() {
    const slides = Reveal.getSlides();
    const at = slides.indexOf(Reveal.getCurrentSlide());
    const now = momentOf(slides[at]);
    const next = slides.slice(at + 1).map(momentOf).find((name) => name && name !== now);
    const last = slides.slice(0, at).map(momentOf).findLast((name) => name && name !== now);
    for (const [name, cast] of casts) {
      if (name !== now && cast.understudy) {
        cast.understudy.leave();
        cast.understudy = undefined;
      }
      if (![now, next, last].includes(name) && cast.state !== "running") {
        cast.player.leave();
        casts.delete(name);
      }
    }
    for (const name of [now, next].filter(Boolean)) castOf(name);
    const playing = here();
    if (playing) playing.player.ready.then(() => here() === playing && playing.standBy(), () => {});
    say();
  }

  // What the speaker sees and touches.
  const bar = document.createElement("div");
  bar.id = "stage";
  bar.innerHTML =
    '<span class="dot"></span><button data-key="L">run <kbd>L</kbd></button>' +
    '<button data-key="R">reset <kbd>R</kbd></button><span class="said" role="status"></span>';
  document.body.append(bar);
  const said = bar.querySelector(".said");
  const unplugged = (problem) => {
    document.body.classList.remove("on-stage");
    bar.dataset.state = "saved";
    said.textContent = `no kernel (${problem.message}): what was recorded is shown`;
  };

  function say() {
    const cast = here();
    bar.hidden = !cast;
    if (!cast) return;
    const ready = cast.player.isReady;
    bar.dataset.state = cast.state === "waiting" && !ready ? "warming" : cast.state;
    const words = { waiting: ready ? "ready" : "warming up", running: "running" };
    said.textContent = cast.hint || (words[cast.state] ?? "");
    if (!ready) cast.player.ready.then(say, () => {});
  }

  /** Run this slide's moment, and go to where its first output stands, if that is further on. */
  function run() {
    const cast = here();
    if (!cast || cast.state === "running") return;
    const slide = Reveal.getCurrentSlide();
    const shows = (each) => momentOf(each) === cast.moment.name && each.querySelector("[data-cell]");
    if (!shows(slide)) {
      const slides = Reveal.getSlides();
      const target = slides.slice(slides.indexOf(slide)).find(shows);
      if (target) {
        const { h, v } = Reveal.getIndices(target);
        Reveal.slide(h, v);
      }
    }
    return cast.run();
  }

  const reset = () => here()?.reset();
  const fallBack = () => here()?.fallBack();
  bar.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    ({ L: run, R: reset })[button.dataset.key]();
    button.blur(); // or the space bar would press it again instead of going on
  });
  // A slider that was reached by keys has those that move it. What was touched gives the keys back to the speaker.
  const sliding = ({ key }) => key.startsWith("Arrow") || key === "Home" || key === "End";
  const onSlider = ({ target }) => target.closest?.(".live [role=slider]");
  document.querySelector(".slides").addEventListener("keydown", (event) => {
    if (onSlider(event) && sliding(event)) event.stopPropagation();
  });
  document.addEventListener("pointerup", ({ target }) => {
    if (target.closest?.(".live")) setTimeout(() => document.activeElement.blur());
  });

  document.body.classList.add("on-stage");
  document.body.dataset.jpThemeLight = "true";
  for (const place of recorded.keys()) place.dataset.state = "waiting";
  Reveal.configure({ keyboard: { 76: run, 82: reset, 80: fallBack } });
  Reveal.on("slidechanged", gather);
  const shown = Reveal.isReady() || new Promise((ready) => Reveal.on("ready", ready));
  const gathered = Promise.all([connected, shown]).then(gather);
  gathered.catch(unplugged);
  window.stage = { connected: gathered, here };
})();
