// Files on their way: at most three uploads at once, long recordings as jobs, patience where the server is busy.

import { deleteJob, jobResult, jobStates, postJob, predict, Refused } from "./api.js";

const UPLOADS = 3;
/** Bytes from which on a recording may be too long for one request. */
const LARGE = 20e6;
/** Seconds until a busy server is asked again, if it does not say. */
const PATIENCE = 5;
/** How often in a row the events of a job may break off before it is given up. */
const BREAKS = 5;

const waiting = [];
let uploading = 0;
const openJobs = new Set();

// What is closed before its result came needs none: the server forgets the recording.
window.addEventListener("pagehide", (event) => {
  if (!event.persisted) for (const id of openJobs) deleteJob(id).catch(() => {});
});

/** Wait for one of the three places; returns what gives it back. */
async function place(signal) {
  signal.throwIfAborted();
  if (uploading >= UPLOADS) await new Promise((resolve) => waiting.push(resolve));
  else uploading += 1;
  let taken = true;
  const release = () => {
    if (!taken) return;
    taken = false;
    const next = waiting.shift();
    if (next) next();
    else uploading -= 1;
  };
  if (signal.aborted) {
    release();
    signal.throwIfAborted();
  }
  return release;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Send until the server is not busy; while it is, say when it will be asked again. */
async function patiently(send, { signal, tell }) {
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (error.status !== 429) throw error;
      let rest = Math.max(1, Math.ceil(error.retryAfter ?? PATIENCE));
      for (; rest > 0; rest -= 1) {
        tell({ state: "busy", seconds: rest });
        await pause(1, signal);
      }
    }
  }
}

/** Follow a job to its end; returns its last state. */
async function followed(job, { signal, tell }) {
  let last = job;
  for (let breaks = 0; breaks < BREAKS; breaks += 1) {
    try {
      for await (const state of jobStates(job.id, signal)) {
        breaks = 0;
        last = state;
        tell({ state: state.state === "queued" ? "queued" : "hearing", heard: state.heard, position: state.position });
        if (state.state === "done" || state.state === "failed") return state;
      }
    } catch (error) {
      if (error.status !== 0 && error.status !== 503) throw error;
    }
    await pause(2, signal);
  }
  throw new Refused(0, "unreached", `The connection broke off while ${last.name} was heard.`);
}

async function byJob(wish) {
  const job = await patiently(() => postJob(wish), wish);
  openJobs.add(job.id);
  // The next file may use the line while this one is heard.
  wish.uploaded();
  try {
    const { error } = await followed(job, wish);
    if (error) throw new Refused(422, error.code, error.message);
    return await jobResult(job.id, wish.signal);
  } finally {
    openJobs.delete(job.id);
    // The answer is here, or given up: a server that cannot be told forgets it after its own time.
    deleteJob(job.id).catch(() => {});
  }
}

async function byRequest(wish) {
  try {
    return await patiently(() => predict(wish), wish);
  } catch (error) {
    if (error.code !== "too_long") throw error;
    return byJob(wish);
  }
}

/**
 * Return the result of a recording; one that `isLong` is no matter of one request.
 *
 * `tell` is called with its state: waiting, uploading (`share`), busy (`seconds`), queued (`position`)
 * or hearing (`heard` seconds of a job). Throws `Refused`, or AbortError after `signal`.
 */
export async function heardByService({ file, name, model, isLong, signal, tell }) {
  tell({ state: "waiting" });
  const release = await place(signal);
  tell({ state: "uploading", share: 0 });
  const sent = (share) => {
    tell(share < 1 ? { state: "uploading", share } : { state: "hearing", heard: null });
  };
  const wish = { file, name, model, signal, tell, sent, uploaded: release };
  try {
    return await (isLong || file.size > LARGE ? byJob(wish) : byRequest(wish));
  } finally {
    release();
  }
}
