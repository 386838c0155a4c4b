// One recording in the list, from waiting to its result.

import { announce, button, h, newId } from "./dom.js";
import { heardByService } from "./queue.js";
import { resultView } from "./results.js";
import { aboutAge, bytes, clock, hasAge, headline, kindOf, percent } from "./words.js";

/** Words and, where it is known, the share of what is done. */
function progress(told, length) {
  const states = {
    waiting: () => ["Waiting for its turn", 0],
    uploading: () => [`Uploading, ${percent(told.share)}`, told.share],
    busy: () => [`The server is busy: trying again in ${told.seconds} s`, 0],
    queued: () => [told.position ? `In the server’s queue, place ${told.position}` : "In the server’s queue", 0],
    hearing: () => {
      if (told.heard === null) return ["Listening", null];
      const share = length ? Math.min(1, told.heard / length) : null;
      return [`Listening, ${clock(told.heard)}${length ? ` of ${clock(length)}` : ""}`, share];
    },
  };
  return states[told.state]();
}

/** Seconds that the browser may take to find out how long a recording is. */
const PATIENCE = 3;

/** Return how long a recording is in seconds, or null if this browser does not know its format. */
async function measured(file) {
  const address = URL.createObjectURL(file);
  const audio = h("audio", { preload: "metadata", src: address });
  await new Promise((resolve) => {
    audio.addEventListener("loadedmetadata", resolve);
    audio.addEventListener("error", resolve);
    setTimeout(resolve, PATIENCE * 1000);
  });
  URL.revokeObjectURL(address);
  return Number.isFinite(audio.duration) ? audio.duration : null;
}

export class Card {
  /**
   * Args:
   *   file: the recording.
   *   house: what the page knows: `model()`, `formats`, `decided(title)`, `refused(error)`.
   *   opens: whether the result is shown at once.
   */
  constructor(file, house, opens) {
    this.file = file;
    this.house = house;
    this.opens = opens;
    this.length = null;
    this.giveUp = new AbortController();
    const id = newId("card");
    this.body = h("div", { class: "body", id, hidden: true });
    this.state = h("span", { class: "state" });
    this.chevron = button(
      () => this.toggle(),
      { class: "chevron", hidden: true, "aria-expanded": "false", "aria-controls": id },
      h("span", { class: "visually-hidden" }, `Details of ${file.name}`),
    );
    this.meter = h("progress", { max: "1", "aria-label": `Progress of ${file.name}` });
    this.actions = h("div", { class: "actions" });
    const remove = { class: "quiet remove", "aria-label": `Remove ${file.name}`, title: "Remove" };
    this.remove = button(() => this.close(), remove, "×");
    this.element = h("li", { class: "card" },
      h("div", { class: "head" },
        h("div", { class: "what" }, h("h3", {}, file.name), this.state),
        this.actions, this.remove, this.chevron),
      this.meter, this.body);
  }

  /** Have the recording heard by the service. */
  async hear() {
    this.set("busy");
    this.meter.hidden = false;
    this.actions.replaceChildren();
    this.tell({ state: "waiting" });
    try {
      const { file, house } = this;
      const { signal } = this.giveUp;
      this.length = await measured(file);
      const isLong = this.length > (house.info?.predict_duration ?? Infinity);
      const wish = { file, name: file.name, model: house.model(), isLong, signal, tell: (told) => this.tell(told) };
      this.done(await heardByService(wish));
    } catch (error) {
      if (!this.giveUp.signal.aborted) this.failed(error);
    }
  }

  set(state) {
    this.element.dataset.state = state;
  }

  tell(told) {
    const [words, share] = progress(told, this.length);
    this.state.textContent = words;
    if (share === null) this.meter.removeAttribute("value");
    else this.meter.value = share;
  }

  done(result) {
    this.result = result;
    const words = headline(result);
    this.set("done");
    this.meter.hidden = true;
    this.state.textContent = words;
    if (result.speakers?.length === 1) {
      this.state.prepend(h("i", { class: `swatch ${kindOf(result.gender)}` }));
      if (hasAge(result.age)) this.state.append(h("small", {}, aboutAge(result.age)));
    }
    this.chevron.hidden = false;
    announce(`${this.file.name}: ${words}`);
    if (this.opens()) this.toggle();
  }

  failed(error) {
    const words = error.status === 401 ? "The service asks for a key: enter it above, then try again." : error.message;
    this.set("failed");
    this.meter.hidden = true;
    this.state.textContent = words;
    announce(`${this.file.name}: ${words}`);
    this.house.refused(error);
    // A recording that cannot be heard is the same tomorrow; a server or a key may change.
    if (error.status === 422 || error.status === 413) return;
    this.actions.replaceChildren(
      button(() => this.hear(), { class: "small", "aria-label": `Try ${this.file.name} again` }, "Try again"),
    );
  }

  /** Say at once that the service will not take this file. */
  refuse(limit) {
    const message = `This file has ${bytes(this.file.size)}; the server takes up to ${bytes(limit)}.`;
    this.failed({ status: 413, message });
  }

  toggle() {
    const open = this.body.hidden;
    if (open && !this.view) {
      const { formats } = this.house;
      const decided = this.house.decided(this.result.model);
      this.view = resultView(this.file, this.result, { formats, decided });
      this.body.append(this.view.element);
    }
    this.body.hidden = !open;
    this.chevron.setAttribute("aria-expanded", String(open));
  }

  /** Take the recording off the page: what is under way is given up, what was shown is forgotten. */
  close() {
    this.giveUp.abort();
    this.view?.close();
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    this.element.remove();
    (next?.querySelector("button:not([hidden])") ?? document.getElementById("choose")).focus();
  }
}
