// Talking to the server: requests, and the stream of events with its state.

import * as store from "./store.js";

/** The browser tries again by itself after a break, but not after an answer that is no stream. */
const RETRY_MS = 2000;
/** Patients come in groups at a start: one new connection is enough for all who came meanwhile. */
const RENEW_MS = 1500;
/** The server speaks at least every ten seconds; a connection that is silent for longer is dead. */
const SILENCE_MS = 25_000;

/** An answer that says why something cannot be done. */
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response;
  let sentence = `The server answered ${response.status}.`;
  try {
    sentence = (await response.json()).error ?? sentence;
  } catch {
    // An answer without JSON comes from a proxy; its number has to do.
  }
  throw new Refused(response.status, sentence);
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refused(0, "The server cannot be reached.");
  }
  return answer(response);
}

export const get = async (path) => (await send(path, {})).json();

const posted = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

/** Post JSON; what the server says, as JSON, or null. */
export async function post(path, body) {
  const response = await send(path, posted(body));
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** Post JSON and save the answer as a file. */
export async function download(path, body, name) {
  const response = await send(path, posted(body));
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const EVENTS = {
  ward: store.ward,
  patient: store.patient,
  gone: store.gone,
  numbers: store.numbers,
  alert: store.alert,
  ack: store.ack,
  source: store.source,
  replay: store.replay,
};

/** Follow the events for ever; `report(state, since)` hears "live", "connecting" or "lost". */
export function follow(report, refused) {
  let stream = null;
  let heard = Date.now();
  let broken = null;
  let timer = null;
  let renewing = false;

  function lost() {
    if (broken === null) broken = Date.now();
    report("lost", broken);
  }

  function open() {
    stream?.close();
    heard = Date.now();
    stream = new EventSource("/api/events");
    for (const [name, take] of Object.entries(EVENTS)) {
      stream.addEventListener(name, (event) => {
        heard = Date.now();
        if (broken !== null || name === "ward") {
          broken = null;
          report("live", heard);
        }
        take(JSON.parse(event.data));
      });
    }
    stream.onopen = () => {
      heard = Date.now();
    };
    stream.onerror = () => {
      lost();
      if (stream.readyState === EventSource.CLOSED) retry();
    };
  }

  function retry() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        await get("/api/me");
      } catch (error) {
        if (error.status === 401) {
          refused();
          return;
        }
      }
      open();
    }, RETRY_MS);
  }

  // Somebody is new on the stream: a new connection begins with all patients.
  store.on("unknown", () => {
    if (renewing) return;
    renewing = true;
    setTimeout(() => {
      renewing = false;
      open();
    }, RENEW_MS);
  });
  setInterval(() => {
    if (Date.now() - heard > SILENCE_MS && stream.readyState !== EventSource.CLOSED) {
      lost();
      open();
    }
  }, 5000);
  open();
}
