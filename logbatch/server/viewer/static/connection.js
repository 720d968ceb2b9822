/** The socket: asks for views, passes on what belongs to the current one, and comes back when it is cut. */

const FIRST_WAIT = 500, LONGEST_WAIT = 15_000; // milliseconds before another attempt
const STEADY = 5000; // a connection that lasted so long begins anew with the shortest wait

/**
 * Dispatches `status` (detail: `state`, `wait` in ms) and, of the current generation, an event
 * named like the type of each message, with the message as `detail`.
 */
export class Connection extends EventTarget {
  #url;
  #socket = null;
  #generation = 0;
  #view = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #opened = 0;

  /** It connects at once, so that it is there when the page knows what to ask. @param {string} url */
  constructor(url) {
    super();
    this.#url = url;
    this.#connect();
    addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow());
  }

  /** The number of the current view. */
  get generation() {
    return this.#generation;
  }

  /** Ask for a view; what was asked before is forgotten. @param {object} view @returns {number} its generation */
  open(view) {
    this.#generation += 1;
    this.#view = view;
    if (!this.#socket) this.#connect();
    else this.#send({ type: "view", generation: this.#generation, ...view });
    return this.#generation;
  }

  /** Ask for rows, counted from the newest of the view. @param {number} offset @param {number} count @returns {boolean} whether it was sent */
  page(offset, count) {
    return this.#send({ type: "page", generation: this.#generation, offset, count });
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#tell("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("open", () => this.#start(socket));
    socket.addEventListener("message", (event) => this.#receive(socket, event.data));
    socket.addEventListener("close", () => this.#lost(socket));
  }

  #start(socket) {
    if (socket !== this.#socket) return;
    this.#opened = performance.now();
    this.#tell("open");
    if (!this.#view) return;
    this.#generation += 1;
    this.#send({ type: "view", generation: this.#generation, ...this.#view });
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    const message = JSON.parse(data);
    if (message.generation !== undefined && message.generation !== null && message.generation !== this.#generation) return;
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    if (this.#opened && performance.now() - this.#opened > STEADY) this.#wait = FIRST_WAIT;
    this.#opened = 0;
    const wait = this.#wait * (0.75 + Math.random() / 2);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#tell("lost", wait);
  }

  #retryNow() {
    if (!this.#socket && this.#view) this.#connect();
  }

  #tell(state, wait = 0) {
    this.dispatchEvent(new CustomEvent("status", { detail: { state, wait } }));
  }
}
