// The page: what it learns of the service, and what people do with it.

import { key, models, serverInfo } from "./api.js";
import { Card } from "./cards.js";
import { announce, byId, h } from "./dom.js";
import { Live } from "./live.js";
import { NoMicrophone } from "./recorder.js";

const NO_KEY = "This service asks for a key. It stays in this tab.";
const WRONG_KEY = "This key is not the service’s. Enter it again.";

/** What the page knows of the service, and every card asks. */
const house = {
  info: null,
  models: [],
  get formats() {
    return this.info?.formats ?? [];
  },
  model() {
    return this.models.length > 1 ? byId("model").value : null;
  },
  chosen() {
    return this.models.find(({ title }) => title === this.model()) ?? this.models.find((model) => model.default);
  },
  /** The probability from which a model decides, by its title; of null, the chosen model. */
  decided(title) {
    const model = title === null ? this.chosen() : this.models.find((other) => other.title === title);
    return model?.card?.gender?.unsure_below ?? null;
  },
  refused(error) {
    if (error.status === 401) askForKey();
  },
};

function fault(message) {
  byId("fault").hidden = !message;
  byId("fault").textContent = message;
}

function askForKey() {
  byId("settings").hidden = false;
  byId("key-form").hidden = false;
  byId("key-note").textContent = key.get() ? WRONG_KEY : NO_KEY;
}

function offerModels() {
  const select = byId("model");
  select.replaceChildren(...house.models.map(({ title }) => h("option", {}, title)));
  select.value = house.models.find((model) => model.default).title;
  const tell = () => (byId("model-note").textContent = house.chosen().description);
  select.onchange = tell; // Another key offers the models anew.
  tell();
  byId("model-choice").hidden = false;
  byId("settings").hidden = false;
}

/** Ask for the models; without the right key the service does not tell them. */
async function learnModels() {
  try {
    house.models = await models();
    fault("");
  } catch (error) {
    if (error.status === 401) askForKey();
    else fault(error.message);
    return false;
  }
  if (house.models.length > 1) offerModels();
  return true;
}

async function learn() {
  try {
    house.info = await serverInfo();
  } catch (error) {
    fault(error.message);
    return;
  }
  byId("version").textContent = `voxtrait ${house.info.version}`;
  if (["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
    byId("privacy").textContent = "Heard on this computer and sent nowhere. Nothing is kept.";
  }
  if (house.info.key_required) askForKey();
  if (!house.info.key_required || key.get()) {
    if (await learnModels() && key.get()) keyAccepted();
  }
}

function keyAccepted() {
  byId("key").value = "";
  byId("key-note").textContent = "The key is right. It stays in this tab.";
}

/** Return whether the next result opens by itself: the only one does, those of a pile do not. */
const opensAlone = () => byId("cards").childElementCount === 1;

function addCard(file, opens) {
  const card = new Card(file, house, opens);
  byId("cards").append(card.element);
  return card;
}

function addFiles(files) {
  for (const file of files) {
    const card = addCard(file, opensAlone);
    const limit = house.info?.max_upload ?? Infinity;
    if (file.size > limit) card.refuse(limit);
    else card.hear();
  }
  if (files.length) byId("results").scrollIntoView({ block: "nearest" });
}

/** Show what was recorded: with the live result, or, where there is none, heard as any file. */
function addRecording(file, result) {
  const card = addCard(file, () => true);
  byId("cards").prepend(card.element);
  if (result) card.done(result);
  else card.hear();
}

async function record() {
  const [idle, panel, problem] = [byId("idle"), byId("live"), byId("record-fault")];
  problem.hidden = true;
  byId("record").disabled = true;
  const show = (live) => {
    idle.hidden = live;
    panel.hidden = !live;
  };
  const live = new Live(panel, house, (file, result) => {
    show(false);
    addRecording(file, result);
    byId("record").focus();
  });
  try {
    await live.start();
    show(true);
    live.begin();
  } catch (error) {
    problem.hidden = false;
    problem.textContent = error instanceof NoMicrophone ? error.message : `The recording failed: ${error.message}`;
  } finally {
    byId("record").disabled = false;
  }
}

function listenToFiles() {
  const [drop, input] = [byId("drop"), byId("files")];
  byId("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    addFiles([...input.files]);
    input.value = "";
  });
  // Files may be dropped anywhere: beside the panel, the browser would leave the page for the file.
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    drop.classList.toggle("over", depth > 0);
  };
  document.addEventListener("dragenter", () => mark(1));
  document.addEventListener("dragleave", () => mark(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-depth);
    addFiles([...event.dataTransfer.files]);
  });
}

byId("record").addEventListener("click", record);
byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  key.set(byId("key").value.trim());
  if (await learnModels()) {
    keyAccepted();
    announce("The key is right.");
  }
});
listenToFiles();
learn();
