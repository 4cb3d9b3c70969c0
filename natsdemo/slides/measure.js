/** By how many pixels something sticks out of a slide that is shown. */
function stickingOut(slide) {
  const frame = slide.querySelector(".slide");
  const padding = getComputedStyle(frame);
  const scale = Reveal.getScale();
  const box = frame.getBoundingClientRect();
  const inside = (edge, side) => box[edge] + side * scale * parseFloat(padding[`padding-${edge}`]);
  let most = 0;
  for (const element of frame.querySelectorAll("*")) {
    const { left, right, top, bottom, width, height } = element.getBoundingClientRect();
    if (width * height <= scale * scale || !element.checkVisibility()) continue; // folded, or for ears only
    const clips = getComputedStyle(element).overflowY !== "visible" && !element.closest(".live"); // widgets may scroll
    const hidden = clips || element === frame;
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
}
