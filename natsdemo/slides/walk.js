// Put into a copy of a deck: shows slide after slide, with all fragments, and tells the page around it what sticks out.
(async () => {
  await (Reveal.isReady() || new Promise((ready) => Reveal.on("ready", ready)));
  await (document.readyState === "complete" || new Promise((loaded) => addEventListener("load", loaded)));
  await document.fonts.ready;
  const overflows = Reveal.getSlides().map((slide, at) => {
    const { h, v } = Reveal.getIndices(slide);
    Reveal.slide(h, v, 99);
    return [`${at + 1} ${slide.querySelector("h1")?.textContent ?? ""}`, stickingOut(slide)];
  });
  parent.postMessage({ overflows }, "*");
})();
