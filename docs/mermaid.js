// Draws the diagrams of the book. mdBook leaves a block of ```mermaid as code, and offline it stays code.
(async () => {
  const blocks = document.querySelectorAll("code.language-mermaid");
  if (blocks.length === 0) {
    return;
  }
  const { default: mermaid } = await import("https://cdn.jsdelivr.net/npm/mermaid@11/dist/mermaid.esm.min.mjs");
  for (const block of blocks) {
    const drawing = document.createElement("div");
    drawing.className = "mermaid";
    drawing.textContent = block.textContent;
    block.parentElement.replaceWith(drawing);
  }
  mermaid.initialize({ startOnLoad: false });
  await mermaid.run();
})();
