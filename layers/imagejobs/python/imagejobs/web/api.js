/** The API that this page belongs to. */

const API = new URL("../../", import.meta.url); // this module is at `web/<version>/` of it

/**
 * @typedef {object} Job What `GET /job/status/<request_id>` answers.
 * @property {string} request_id
 * @property {"PENDING" | "PROCESSING" | "COMPLETED" | "FAILED"} status
 * @property {string} created_at
 * @property {number} completion_percentage
 * @property {string | null} error_message
 * @property {number} generation
 * @property {number | null} rows
 * @property {number} rows_failed
 * @property {number | null} images
 * @property {number} images_completed
 * @property {number} images_failed
 * @property {number} images_unchanged
 * @property {number} images_reused
 * @property {number} bytes_before
 * @property {number} bytes_after
 * @property {string | null} result_url
 * @property {Sheet | null} sheet
 * @property {boolean} dry_run Its pictures are only looked at.
 * @property {Preflight | null} preflight
 * @property {string | null} failures_url
 * @property {string | null} report_url
 */

/**
 * @typedef {object} Sheet What was found in a CSV.
 * @property {{id: string, name: string, urls: string[]}} columns
 * @property {"comma" | "semicolon" | "tab"} column_separator
 * @property {("," | "|" | ";" | "\n")[]} url_separators
 */

/**
 * @typedef {object} Preflight What a dry run has found.
 * @property {Record<string, number>} images_failed_by_code
 * @property {number} images_reused
 * @property {number} duplicates
 * @property {{small: number, large: number}} warnings
 * @property {Record<string, {images: number, bytes: number}>} formats
 * @property {{bytes_after: number, seconds: number, usd: number}} estimate
 */

/**
 * @typedef {object} Picture One image, as `GET /job/<request_id>/images` lists it.
 * @property {string} image_id
 * @property {number} row_number
 * @property {number} position
 * @property {string} product_name
 * @property {string} source_url
 * @property {string | null} image_url
 * @property {"PENDING" | "COMPLETED" | "FAILED"} status
 * @property {string | null} error_code
 * @property {string | null} error_message
 * @property {string | null} format
 * @property {"smaller" | "converted" | "unchanged" | "checked" | null} outcome
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} bytes_before
 * @property {number | null} bytes_after
 * @property {"not_modified" | "same_content" | null} reused
 * @property {string | null} human_url
 * @property {number | null} same_as_row_number
 */

/**
 * @typedef {object} Delivery One attempt at the webhook.
 * @property {string} event_id
 * @property {number} attempt
 * @property {string} attempted_at
 * @property {number | null} status_code
 * @property {string | null} error_message
 * @property {"delivered" | "retry" | "gone" | "exhausted"} outcome
 */

/** An answer that is not a success. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 when there was no answer at all.
   * @param {string} code The API's own, such as `sheet_invalid`.
   * @param {string} message For the person.
   * @param {number} retryAfterSeconds 0 when the API does not say.
   */
  constructor(status, code, message, retryAfterSeconds = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** True when the same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** @param {Job} job @returns {boolean} */
export function hasEnded(job) {
  return job.status === "COMPLETED" || job.status === "FAILED";
}

export class Api {
  /**
   * @param {string} token
   * @param {() => void} [onRefused] Called when the token is not let in.
   */
  constructor(token, onRefused = () => {}) {
    this.token = token;
    this.onRefused = onRefused;
  }

  /** @returns {Promise<{jobs: Job[], next: string | null}>} The caller's jobs, newest first. */
  jobs({ after = null, limit = 20, signal = undefined } = {}) {
    return this.#json("GET", `jobs?${query({ limit, after })}`, { signal });
  }

  /** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Job>} */
  status(id, signal) {
    return this.#json("GET", `job/status/${encodeURIComponent(id)}`, { signal });
  }

  /** @param {string} id @returns {Promise<{images: Picture[], next: string | null}>} One page, in the sheet's order. */
  images(id, { after = null, status = null, limit = 500, signal = undefined } = {}) {
    return this.#json("GET", `${job(id)}/images?${query({ limit, after, status })}`, { signal });
  }

  /**
   * Pictures that ended since a cursor, in the order in which they did.
   *
   * @param {string} id
   * @returns {Promise<{images: Picture[], next: string, job: Job}>}
   */
  events(id, { after = null, limit = 100, signal = undefined } = {}) {
    return this.#json("GET", `${job(id)}/events?${query({ limit, after })}`, { signal });
  }

  /** @param {string} id @param {AbortSignal} [signal] @returns {Promise<{webhook_url: string | null, deliveries: Delivery[]}>} */
  deliveries(id, signal) {
    return this.#json("GET", `${job(id)}/deliveries`, { signal });
  }

  /**
   * Where a file of the job can be downloaded without the token, for an hour.
   *
   * @param {string} id
   * @param {"result" | "failures.csv" | "report.html"} name
   * @returns {Promise<{url: string}>}
   */
  link(id, name) {
    return this.#json("GET", `${job(id)}/${name}`);
  }

  /**
   * @param {FormData} form
   * @param {string} key The same for each attempt at the same upload.
   * @returns {Promise<{request_id: string}>}
   */
  upload(form, key) {
    return this.#json("POST", "upload", { body: form, headers: { "Idempotency-Key": key } });
  }

  /**
   * The same for a sheet that is too large for the API: it goes into the bucket by a form that the API gives out.
   *
   * @param {File} file
   * @param {FormData} options
   * @param {string} key
   * @returns {Promise<{request_id: string}>}
   */
  async uploadLarge(file, options, key) {
    const opened = await this.#json("POST", "uploads", { body: options, headers: { "Idempotency-Key": key } });
    const form = new FormData();
    for (const [name, value] of Object.entries(opened.fields)) form.append(name, value);
    form.append("file", file); // the last, as S3 wants it
    const answer = await reach(opened.url, { method: "POST", body: form });
    if (!answer.ok) throw new ApiError(answer.status, "not_stored", `The storage did not take the file (${answer.status}).`);
    return opened;
  }

  /** @param {string} id @param {FormData} form The corrected rows, as `file`. @returns {Promise<object>} */
  correct(id, form) {
    return this.#json("POST", `${job(id)}/retry`, { body: form });
  }

  /** @param {string} id @param {"retry" | "cancel" | "redeliver"} what @returns {Promise<object>} */
  ask(id, what) {
    return this.#json("POST", `${job(id)}/${what}`);
  }

  async #json(method, path, { body = undefined, headers = {}, signal = undefined } = {}) {
    const all = { Authorization: `Bearer ${this.token}`, Accept: "application/json", ...headers };
    const answer = await reach(new URL(path, API), { method, body, headers: all, signal });
    const content = await answer.json().catch(() => ({}));
    if (answer.ok) return content;
    if (answer.status === 401) this.onRefused();
    const message = content.message ?? `The service answered ${answer.status}. Try again in a moment.`;
    throw new ApiError(answer.status, content.code ?? "", message, Number(answer.headers.get("Retry-After")) || 0);
  }
}

/**
 * An answer, whatever it says.
 *
 * @param {string | URL} address
 * @param {RequestInit} request
 * @returns {Promise<Response>}
 */
async function reach(address, request) {
  try {
    return await fetch(address, { ...request, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The service does not answer. Check your connection, then try again.");
  }
}

/** @param {string} id @returns {string} */
function job(id) {
  return `job/${encodeURIComponent(id)}`;
}

/** @param {Record<string, string | number | null>} parameters @returns {URLSearchParams} Those that are not null. */
function query(parameters) {
  return new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null));
}
