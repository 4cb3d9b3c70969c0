// Put into a copy of a deck: shows slide after slide, with all fragments, and tells the page around it what sticks out.
(async () => {
  await (Reveal.isReady() || new Promise((ready) => Reveal.on("ready", ready)));
  await (document.readyState === "complete" || new Promise((loaded) => addEventListener("load", loaded)));
  await document.fonts.ready;
  const stickingOut = (slide) => {
    const frame = slide.querySelector(".slide");
    const padding = getComputedStyle(frame);
    const scale = Reveal.getScale();
    const box = frame.getBoundingClientRect();
    const inside = (edge, side) => box[edge] + side * scale * parseFloat(padding[`padding-${edge}`]);
    let most = 0;
    for (const element of frame.querySelectorAll("*")) {
      const { left, right, top, bottom } = element.getBoundingClientRect();
      const hidden = getComputedStyle(element).overflowY !== "visible" || element === frame;
      most = Math.max(
        most,
        inside("left", 1) - left,
        right - inside("right", -1),
        inside("top", 1) - top,
        bottom - inside("bottom", -1),
        hidden ? (element.scrollHeight - element.clientHeight) * scale : 0,
        box.right - innerWidth,
        box.bottom - innerHeight,
      );
    }
    return Math.ceil(Math.max(0, most - 1)); // half pixels are rounding
  };
  const overflows = Reveal.getSlides().map((slide, at) => {
    const { h, v } = Reveal.getIndices(slide);
    Reveal.slide(h, v, 99);
    return [`${at + 1} ${slide.querySelector("h1")?.textContent ?? ""}`, stickingOut(slide)];
  });
  parent.postMessage({ overflows }, "*");
})();
