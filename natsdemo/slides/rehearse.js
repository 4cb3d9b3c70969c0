// Goes through a deck on stage as a speaker would, by the same keys, and reports how each moment went.
(async () => {
  const L = 76;
  const report = { slides: [], moments: [], problem: "" };
  const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const over = (cast) => ["done", "saved"].includes(cast.state);
  try {
    await stage.connected;
    const slides = Reveal.getSlides();
    for (let at = 0; at < slides.length; at++) {
      const { h, v } = Reveal.getIndices(slides[at]);
      Reveal.slide(h, v, 99);
      const cast = stage.here();
      if (cast && cast.state === "waiting") {
        const begun = performance.now();
        await cast.player.ready.catch(() => {});
        const waited = (performance.now() - begun) / 1000;
        Reveal.triggerKey(L);
        while (!over(cast)) await new Promise((wait) => setTimeout(wait, 50));
        const { moment, state, seconds, tries, problem } = cast;
        report.moments.push({ name: moment.name, slide: at + 1, state, waited, seconds, tries, problem });
        Reveal.slide(h, v, 99);
      }
      await drawn();
      const title = slides[at].querySelector("h1")?.textContent ?? "";
      const sizes = [...slides[at].querySelectorAll(".code code")].map((code) => parseFloat(getComputedStyle(code).fontSize));
      const overflow = Math.round(stickingOut(slides[at]) / Reveal.getScale());
      report.slides.push({ title, overflow, code: Math.min(...sizes, 99) });
    }
  } catch (problem) {
    report.problem = `${problem.message ?? problem}`;
  }
  const { token } = JSON.parse(document.getElementById("stage-moments").textContent);
  const headers = { Authorization: `token ${token}` };
  await fetch(`${location.pathname}/report`, { method: "POST", headers, body: JSON.stringify(report) });
})();
