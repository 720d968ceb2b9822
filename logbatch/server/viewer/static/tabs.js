/** The tabs: links to the same address with another `tab`. */

import { byId, el } from "./dom.js";
import { formatView } from "./state.js";

export const TABS = [
  ["events", "Events"],
  ["errors", "Errors"],
  ["patterns", "Patterns"],
  ["pipeline", "Pipeline"],
  ["runs", "Runs"],
  ["sql", "SQL"],
];

/** Shows the panel that the state names, and tells the panels when they come and go. */
export class Tabs {
  #state;
  #makers;
  #panels = new Map();
  #shown = "";

  /**
   * @param {import("./state.js").State} state
   * @param {Record<string, () => Promise<{show(): void, hide(): void}>>} makers by tab; what makes a panel is fetched when it is first wanted
   */
  constructor(state, makers) {
    this.#state = state;
    this.#makers = makers;
    state.addEventListener("change", ({ detail }) => this.#changed(detail.changed));
    byId("tabs").addEventListener("click", (event) => this.#clicked(event));
    this.#show();
  }

  /** Go to one by its number. @param {number} at from 0 */
  go(at) {
    this.#state.set({ tab: TABS[at][0] });
  }

  #changed(changed) {
    if (changed.has("tab")) this.#show();
    else if (["q", "from", "to", "since", "before", "sql", "tz"].some((name) => changed.has(name))) this.#panels.get(this.#shown)?.show();
    this.#links();
  }

  #show() {
    const { tab } = this.#state.view;
    const wanted = TABS.some(([name]) => name === tab) ? tab : "events";
    if (wanted !== this.#shown) this.#panels.get(this.#shown)?.hide();
    this.#shown = wanted;
    for (const [name] of TABS) byId(`panel-${name}`).hidden = name !== wanted;
    this.#links();
    document.body.dataset.tab = wanted;
    this.#open(wanted);
  }

  async #open(tab) {
    if (!this.#makers[tab]) return;
    if (!this.#panels.has(tab)) this.#panels.set(tab, await this.#makers[tab]());
    if (tab === this.#shown) this.#panels.get(tab).show();
  }

  #links() {
    const links = TABS.map(([name, title]) =>
      el("a", { id: `tab-${name}`, href: formatView({ ...this.#state.view, tab: name }) || location.pathname, "aria-current": name === this.#shown ? "page" : false, data: { tab: name } }, title));
    const focused = document.activeElement?.id;
    byId("tabs").replaceChildren(...links);
    if (focused?.startsWith("tab-")) byId(focused).focus();
  }

  #clicked(event) {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.#state.set({ tab: link.dataset.tab });
  }
}
