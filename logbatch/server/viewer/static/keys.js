/** Keys for the whole page; a field that one types into keeps its own. */

/**
 * @param {Record<string, (event: KeyboardEvent) => void|false>} actions by key, as `KeyboardEvent.key` has it; one that
 *   returns false had nothing to do, and the browser does what it does
 */
export function listenForKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target) || document.querySelector("dialog[open], .popover:popover-open")) return;
    const act = actions[event.key];
    if (!act || (event.key === "Enter" && isControl(event.target)) || (event.key === " " && isControl(event.target))) return;
    if (act(event) !== false) event.preventDefault();
  });
}

function isTyping(target) {
  return target instanceof Element && Boolean(target.closest("input, textarea, select, [contenteditable]"));
}

function isControl(target) {
  return target instanceof Element && Boolean(target.closest("button, a, summary"));
}
