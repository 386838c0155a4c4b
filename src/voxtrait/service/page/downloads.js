// A result as a file, in every format that the service writes.

import { converted } from "./api.js";
import { button, h, save } from "./dom.js";
import { formatTitle, stem } from "./words.js";

/** Return the result as JSON that people can read. */
const pretty = (result) => `${JSON.stringify(result, null, 2)}\n`;

async function blobOf(result, format) {
  if (format.name === "json") return new Blob([pretty(result)], { type: format.media_type });
  return converted(result, format.name);
}

async function copy(result) {
  if (!navigator.clipboard) {
    return "Browsers lend the clipboard only to pages of this machine (localhost) or over https.";
  }
  try {
    await navigator.clipboard.writeText(pretty(result));
    return "Copied.";
  } catch {
    return "The browser did not allow it.";
  }
}

/** Return the row of downloads of a result; `formats` are those of /v1/server. */
export function downloads(result, formats) {
  const status = h("span", { class: "saved", role: "status" });
  const choice = (format) => {
    const title = formatTitle(format.name);
    async function download() {
      status.textContent = "";
      try {
        save(await blobOf(result, format), stem(result.file) + format.suffix);
      } catch (error) {
        status.textContent = `${title}: ${error.message}`;
      }
    }
    return button(download, { class: "small", "aria-label": `Download as ${title}` }, title);
  };
  const copied = async () => {
    status.textContent = "";
    status.textContent = await copy(result);
  };
  return h(
    "div",
    { class: "downloads" },
    h("h4", {}, "Download"),
    h("div", { class: "choices" }, formats.map(choice), button(copied, { class: "small" }, "Copy JSON"), status),
  );
}
