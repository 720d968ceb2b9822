/** The numbers beside the list: how many events there are, of which levels, how many are new. */

import { byId, el, setText } from "./dom.js";
import { brief, count, counted, line, short } from "./format.js";

const LEVELS = 8; // that are named

export class Numbers {
  #levels;

  /** @param {import("./levels.js").Levels} levels */
  constructor(levels) {
    this.#levels = levels;
  }

  /** The numbers of another view are not those of this one; they are dim until the new ones come. */
  loosen() {
    byId("panel-events").classList.add("counting");
  }

  /** @param {{total: number|null, levels: Map<string, number>, fresh: number}} numbers the total is null while it is counted */
  show({ total, levels, fresh }) {
    if (total !== null) byId("panel-events").classList.remove("counting");
    setText(byId("total"), total === null ? "counting…" : counted(total, "event"));
    const named = [...levels].filter(([, many]) => many).sort(([one], [other]) => this.#levels.number(other) - this.#levels.number(one));
    byId("levels").replaceChildren(...named.slice(0, LEVELS).map(([name, many]) =>
      el("span", {}, el("i", { class: "swatch", data: { kind: this.#levels.kind(name) } }), `${line(name)} ${brief(many)}`)));
    const resume = byId("resume");
    resume.hidden = fresh <= 0;
    setText(resume, `${count(fresh)} new ↓`);
  }

  /** Say that rows are left out. @param {{shown: number, of: number}|null} sampled */
  showSampled(sampled) {
    const field = byId("sampled");
    field.hidden = !sampled;
    if (sampled) setText(field, `too fast to show all: ${short(sampled.shown)} of ${short(sampled.of)} rows; the counts are exact`);
  }

  /** Say that what is shown is not what was asked for. @param {boolean} isEmpty */
  showMistake(isEmpty) {
    byId("panel-events").classList.add("stale");
    if (!isEmpty) return;
    setText(byId("total"), "");
    byId("empty").hidden = false;
    setText(byId("empty"), "The filter has a mistake; it is marked above.");
  }

  /** What is shown is what was asked for. */
  accept() {
    byId("panel-events").classList.remove("stale");
  }

  /** Say why there is nothing. @param {boolean} isEmpty @param {import("./state.js").View} view */
  showEmpty(isEmpty, { q, from, to }) {
    const empty = byId("empty");
    empty.hidden = !isEmpty;
    const narrowed = q || from || to;
    setText(empty, narrowed ? "Nothing matches.\nOther words, or a wider range?" : "There is nothing in this directory yet.\nWhat is logged appears here by itself.");
  }
}
