// Shortcuts: a key that no element needs for itself runs a command.
"use strict";

// Whether the element that has the focus uses a key itself: text fields all, buttons Space, wide tables the arrows.
function usesKey(element, key) {
  if (element.matches("input:not([type=range], [type=checkbox]), textarea, select")) return true;
  if (key === " " || key === "Enter") return element.matches("button, summary, a, input[type=checkbox]");
  return key.startsWith("Arrow") && element.matches(".wide");
}

// Call what `commandOf` returns for a key: letters in lower case, others by their names (" ", "ArrowLeft", "Enter").
function onShortcut(commandOf) {
  addEventListener("keydown", (event) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const shifted = event.shiftKey && (key === " " || key.length > 1); // some keyboards have digits there
    if (event.ctrlKey || event.altKey || event.metaKey || shifted || usesKey(event.target, key)) return;
    if (event.repeat && !key.startsWith("Arrow")) return;
    const command = commandOf(key);
    if (!command) return;
    command();
    event.preventDefault();
  });
}

// Enter and Escape leave a text field.
addEventListener("keydown", (event) => {
  if (event.target.matches?.("input:not([type=range])") && (event.key === "Enter" || event.key === "Escape")) event.target.blur();
});

// A button that is clicked with the mouse gives the focus back, so that Space plays and does not click it again.
addEventListener("click", (event) => {
  if (event.detail > 0) event.target.closest?.("button, input[type=checkbox]")?.blur();
});
