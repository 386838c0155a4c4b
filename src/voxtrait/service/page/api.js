// The service: every request of the page is made here, and to the server that gave the page.

/** The service said no. `code` is for programs, the message is a sentence for people. */
export class Refused extends Error {
  constructor(status, code, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

const KEY = "voxtrait-key";
const UNREACHED = "The server does not answer. Is it still running, and is the network up?";

/** The key that requests carry, of this tab alone. */
export const key = {
  get() {
    return sessionStorage.getItem(KEY);
  },
  set(value) {
    sessionStorage.setItem(KEY, value);
  },
};

function headers(extra = {}) {
  return key.get() ? { Authorization: `Bearer ${key.get()}`, ...extra } : extra;
}

/** Return the refusal that an answer's body tells, whatever has sent it. */
function refusalOf(status, text, retryAfter) {
  const seconds = Number.parseFloat(retryAfter ?? "");
  const wait = Number.isFinite(seconds) ? seconds : null;
  try {
    const problem = JSON.parse(text);
    if (problem.code && problem.detail) return new Refused(status, problem.code, problem.detail, wait);
  } catch {
    // A proxy in between answers in HTML.
  }
  return new Refused(status, "http", `The server answered ${status} and said nothing more.`, wait);
}

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: headers(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreached", UNREACHED);
  }
  if (!answer.ok) throw refusalOf(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  return answer;
}

const json = async (path, options) => (await request(path, options)).json();

export const serverInfo = () => json("/v1/server");
export const models = async () => (await json("/v1/models")).models;

/** Return a result in another format, as a blob. */
export async function converted(result, format) {
  const answer = await request(`/v1/convert?format=${encodeURIComponent(format)}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(result),
  });
  return answer.blob();
}

/**
 * Send a recording and return the JSON that answers it.
 *
 * `fetch` cannot tell how much of a body is sent, hence the older request.
 */
function upload(path, { file, name, model, signal, sent }) {
  const wishes = new URLSearchParams({ segments: "true", speakers: "true", name });
  if (model) wishes.set("model", model);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open("POST", `${path}?${wishes}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [header, value] of Object.entries(headers())) request.setRequestHeader(header, value);
    request.upload.onprogress = (event) => sent(event.loaded / Math.max(event.total, 1));
    request.upload.onload = () => sent(1);
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(refusalOf(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(new Refused(0, "unreached", UNREACHED));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", stop);
    signal.throwIfAborted();
    signal.addEventListener("abort", stop);
    request.send(file);
  });
}

export const predict = (wish) => upload("/v1/predict", wish);
export const postJob = (wish) => upload("/v1/jobs", wish);

const jobPath = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

/** Forget a job; of one that is forgotten already nothing is said. */
export async function deleteJob(id) {
  try {
    await request(jobPath(id), { method: "DELETE", keepalive: true });
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

export const jobResult = (id, signal) => json(`${jobPath(id)}/result`, { signal });

/** Yield a job's states as the server tells them; ends when the connection does. */
export async function* jobStates(id, signal) {
  // An EventSource cannot send a key.
  const answer = await request(`${jobPath(id)}/events`, { signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      return { done: true };
    });
    if (done) return;
    const events = (pending + value).replaceAll("\r\n", "\n").split("\n\n");
    pending = events.pop();
    for (const event of events) {
      const lines = event.split("\n");
      const field = (name) =>
        lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim());
      if (field("event")[0] === "job") yield JSON.parse(field("data").join("\n"));
    }
  }
}

/** Open the WebSocket of a live stream. */
export function openStream() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`);
  socket.binaryType = "arraybuffer";
  return socket;
}
