// Runs in the page around the report, never in the report. Says what is wrong, one line each.
addEventListener("load", () => {
  const frame = document.querySelector("iframe");
  const doc = frame.contentDocument;
  const view = frame.contentWindow;
  const wrong = [];
  const say = (what, node) =>
    wrong.push(what + ": " + (node.textContent || "").trim().slice(0, 80));
  if (doc.documentElement.scrollWidth > doc.documentElement.clientWidth)
    wrong.push("wider than its paper: " + doc.documentElement.scrollWidth);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parts = (css) => (css.match(/[\d.]+/g) || []).map(Number);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const rgb = parts(view.getComputedStyle(at).backgroundColor);
      if (rgb.length === 3 || rgb[3] > 0) return rgb.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const walker = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const owner = node.parentElement;
    if (!node.data.trim() || ["TITLE", "DESC", "STYLE"].includes(owner.tagName.toUpperCase())) continue;
    texts += 1;
    const style = view.getComputedStyle(owner);
    const svg = owner.closest("svg");
    const color = parts(svg ? style.fill : style.color).slice(0, 3);
    const [a, b] = [luminance(color), luminance(ground(svg ? svg.parentElement : owner))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) say("contrast " + contrast.toFixed(2), owner);
    if (svg) continue;
    const range = doc.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.right > doc.documentElement.clientWidth + 1 && !owner.classList.contains("skip"))
        say("cut off at the right", owner);
  }
  for (const svg of doc.querySelectorAll("svg")) {
    const limits = svg.viewBox.baseVal;
    if (!svg.querySelector("title") || svg.getAttribute("role") !== "img") say("a drawing without a name", svg);
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBBox();
      if (box.x < -1 || box.x + box.width > limits.width + 1 || box.y + box.height > limits.height + 1)
        say("outside its drawing", text);
    }
    for (const rect of svg.querySelectorAll("rect")) {
      const box = rect.getBBox();
      if (box.x + box.width > limits.width) say("outside its drawing", rect);
    }
  }
  let level = 0;
  for (const heading of doc.querySelectorAll("h1,h2,h3,h4")) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1) say("a heading is left out before", heading);
    level = now;
  }
  if (doc.querySelectorAll("h1").length !== 1) wrong.push("one h1 is wanted");
  if (doc.querySelectorAll("main").length !== 1) wrong.push("one main is wanted");
  for (const cell of doc.querySelectorAll("th")) if (!cell.scope) say("a head without a scope", cell);
  for (const section of doc.querySelectorAll("section"))
    if (!doc.getElementById(section.getAttribute("aria-labelledby"))) say("a section without a name", section);
  const ids = [...doc.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of new Set(ids))
    if (ids.filter((other) => other === id).length > 1) wrong.push("an id stands twice: " + id);
  document.getElementById("found").textContent =
    "measured " + texts + " texts\n" + [...new Set(wrong)].slice(0, 40).join("\n");
});
