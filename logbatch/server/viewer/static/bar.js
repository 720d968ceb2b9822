/** The bar above the list: follow, columns, facets; and what a click into the histogram asks. */

import { byId } from "./dom.js";
import { isRelative } from "./state.js";

/**
 * @param {import("./events.js").Events} events
 * @param {import("./state.js").State} state
 * @param {{marks: import("./marks.js").Marks, range: import("./timerange.js").TimeRange}} shared
 */
export function wireBar(events, state, { marks, range }) {
  byId("follow").addEventListener("click", () => events.toggleFollow());
  byId("resume").addEventListener("click", () => events.toggleFollow(true));
  byId("facets-button").addEventListener("click", () => openFacets(!byId("facets").classList.contains("open")));
  byId("list").addEventListener("pointerdown", () => openFacets(false));
  byId("columns").addEventListener("click", async () => {
    const { openColumnMenu } = await import("./columnmenu.js");
    openColumnMenu(byId("columns"), state, events.fields);
  });
  events.histogram.addEventListener("pick", async ({ detail }) => {
    const { openMarkBox } = await import("./markbox.js");
    openMarkBox(byId("histogram"), detail, { state, marks, range, goTo: (time) => events.goTo("", time) });
  });
  state.addEventListener("change", ({ detail }) => detail.changed.has("to") && showLive(state));
  showLive(state);
}

/** Open the facets, or close them, where there is no room for them beside the list. @param {boolean} open */
export function openFacets(open) {
  byId("facets").classList.toggle("open", open);
  byId("facets-button").setAttribute("aria-expanded", String(open));
}

/** What is over has nothing new to follow. */
function showLive({ view: { to } }) {
  byId("follow").hidden = Boolean(to) && !isRelative(to);
}
