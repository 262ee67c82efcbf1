/** What can be done with a job. */

import { hasEnded } from "./api.js";
import { announce } from "./dom.js";
import { runOf } from "./submission.js";

/**
 * @param {import("./app.js").View} view
 * @param {import("./api.js").Job} job
 * @param {() => void} again Called when the job has been begun again.
 * @returns {[string, (() => Promise<void>) | null, string][]} For each its button: label, work, class. No work is a way to a new job.
 */
export function ways({ api, id }, job, again) {
  if (!hasEnded(job)) {
    return [["Cancel the job", async () => { await api.ask(id, "cancel"); announce("The job is being cancelled"); }, "quiet"]];
  }
  const retry = async () => { await api.ask(id, "retry"); again(); };
  const all = job.dry_run ? [
    compress(api, id),
    job.result_url && ["Download what was found", () => download(api, id, "result"), ""],
    job.images_failed && ["Check the failed pictures again", retry, ""],
  ] : [
    job.result_url && ["Download the finished CSV", () => download(api, id, "result"), "primary"],
    job.report_url && ["Open the report", () => openReport(api, id), ""],
    job.images_failed && ["Try the failed pictures again", retry, ""],
  ];
  return all.filter(Boolean);
}

/**
 * @param {import("./api.js").Api} api
 * @param {string} id
 * @param {"result" | "failures.csv"} name
 */
export async function download(api, id, name) {
  const { url } = await api.link(id, name);
  location.assign(url); // it comes as a file, so this page stays
}

/** @returns {[string, (() => Promise<void>) | null, string]} What follows upon a check. */
function compress(api, id) {
  const run = runOf(id);
  if (!run) return ["Choose the file again to compress its pictures", null, ""];
  return ["Compress these pictures", async () => { location.hash = `#/job/${await run.send(api)}`; }, "primary"];
}

async function openReport(api, id) {
  const tab = window.open(); // at the press itself, or the browser would keep it from opening
  try {
    const { url } = await api.link(id, "report.html");
    if (tab) tab.location.replace(url);
    else location.assign(url);
  } catch (error) {
    tab?.close();
    throw error;
  }
}
