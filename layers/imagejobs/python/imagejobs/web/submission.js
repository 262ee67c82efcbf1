/** A CSV on its way to the API: sent again it is still the same job, and after a check it can be sent in earnest. */

import { count } from "./words.js";

const MAX_BYTES = 256 * 1024 * 1024; // of a sheet, as the storage's form takes it
export const MAX_API_BYTES = 4_400_000; // of a form to the API; a larger sheet goes into the bucket by itself

/** @type {Map<string, Submission>} The real run of each check that this page has begun, by the check's id. */
const runs = new Map();

export class Submission {
  /**
   * @param {FormData} fields With the CSV as `file`.
   * @param {boolean} isCheck The pictures are looked at, and none is compressed.
   */
  constructor(fields, isCheck) {
    Object.assign(this, { fields, isCheck });
    this.key = crypto.randomUUID(); // the same however often it is sent
  }

  /** @param {import("./api.js").Api} api @returns {Promise<string>} The job's id. */
  async send(api) {
    const file = this.fields.get("file");
    await checkFile(file, MAX_BYTES);
    const { request_id: id } = await this.#deliver(api, file);
    if (this.isCheck) runs.set(id, new Submission(this.fields, false));
    return id;
  }

  #deliver(api, file) {
    const form = copyOf(this.fields);
    if (this.isCheck) form.set("dry_run", "true");
    if (file.size <= MAX_API_BYTES) return api.upload(form, this.key);
    form.delete("file");
    return api.uploadLarge(file, form, this.key);
  }
}

/** @param {string} id A check. @returns {Submission | undefined} The same CSV and options in earnest, if this page has them still. */
export function runOf(id) {
  return runs.get(id);
}

/**
 * Refuse a file that would not arrive.
 *
 * @param {File} file
 * @param {number} maxBytes
 */
export async function checkFile(file, maxBytes) {
  if (file.size > maxBytes) throw new Error(`The file has ${count(file.size)} bytes; ${count(maxBytes)} are taken. Split it.`);
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error("The file was changed, moved or deleted since it was chosen. Choose it again.");
  }
}

/** @param {FormData} fields @returns {FormData} */
function copyOf(fields) {
  const copy = new FormData();
  for (const [name, value] of fields) copy.append(name, value);
  return copy;
}
