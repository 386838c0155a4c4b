// A live stream: samples to the service, its answers back.

import { key, openStream } from "./api.js";

/** Seconds that the service may take to be ready: until then the samples wait in memory. */
const PATIENCE = 15;
const BROKEN = { code: "unreached", message: "The live connection broke off." };

/**
 * Open a live stream; samples sent before the service is ready wait here.
 *
 * `on.update(message)`, `on.final(result)` and `on.fault({code, message})` are called as the service
 * answers; after `final` or `fault` nothing more is.
 */
export function startStream({ rate, model, name }, on) {
  const socket = openStream();
  const early = [];
  let ready = false;
  let over = false;
  const timer = setTimeout(() => finish(() => on.fault(BROKEN)), PATIENCE * 1000);

  function finish(call) {
    if (over) return;
    over = true;
    clearTimeout(timer);
    call();
    socket.close();
  }

  function begin() {
    ready = true;
    clearTimeout(timer);
    early.splice(0).forEach((message) => socket.send(message));
  }

  const answers = {
    ready: begin,
    update: (message) => over || on.update(message),
    final: (message) => finish(() => on.final(message.result)),
    error: (message) => finish(() => on.fault(message.error)),
  };
  const start = { type: "start", encoding: "pcm_s16le", rate, channels: 1, model, name, key: key.get() };
  socket.onopen = () => socket.send(JSON.stringify(start));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    answers[message.type]?.(message);
  };
  socket.onclose = () => finish(() => on.fault(BROKEN));

  function send(message) {
    if (over) return;
    if (ready) socket.send(message);
    else early.push(message);
  }

  return {
    push: (samples) => send(samples),
    end: () => send(JSON.stringify({ type: "end" })),
    close: () => finish(() => {}),
  };
}
