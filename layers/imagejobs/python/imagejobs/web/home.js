/** The first view: a new job, and the jobs so far. */

import { title } from "./dom.js";
import { jobList } from "./jobs.js";
import { uploadForm } from "./upload.js";

/** @param {HTMLElement} root @param {import("./app.js").View} view */
export async function show(root, { api, signal }) {
  const heading = title("Compress a catalogue");
  const list = jobList(api, signal);
  root.replaceChildren(heading, uploadForm(api, signal), list.element);
  heading.focus();
  await list.load();
}
