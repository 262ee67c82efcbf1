/** Numbers, times and reasons in words. */

const WHOLE = new Intl.NumberFormat("en");
const BYTE_UNITS = ["bytes", "kB", "MB", "GB", "TB"];
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** What became of a picture, by the API's `error_code`: what it means for whoever keeps the catalogue. */
const REASONS = {
  url_refused: "This address cannot be used",
  origin_refused: "The shop's server did not give out this picture",
  origin_unavailable: "The shop's server could not be reached",
  image_too_large: "The picture is too large",
  image_unreadable: "The file is damaged or empty",
  format_unsupported: "The file is not a JPEG, PNG, WebP or GIF",
  codec_failed: "The picture took too long or too much memory",
  image_abandoned: "Given up after several attempts",
  cancelled: "The job was cancelled before this picture",
};

/** @param {string} code @returns {string} */
export function reason(code) {
  return REASONS[code] ?? "The picture could not be compressed";
}

/** @param {number} number @returns {string} "12,345" */
export function count(number) {
  return WHOLE.format(number);
}

/** @param {number} number @param {string} one @param {string} [many] @returns {string} "1 picture", "2 pictures" */
export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** @param {number} size In bytes. @returns {string} "131 kB", "4.2 MB"; a thousand is a kilo. */
export function bytes(size) {
  let unit = 0;
  while (Math.abs(size) >= 999.5 && unit < BYTE_UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size.toFixed(unit > 0 && Math.abs(size) < 9.95 ? 1 : 0)} ${BYTE_UNITS[unit]}`;
}

/** @param {number} before In bytes. @param {number} after In bytes. @returns {string} "38 %" */
export function percentSaved(before, after) {
  return before ? `${Math.round((100 * (before - after)) / before)} %` : "0 %";
}

/** @param {number} before @param {number} after @returns {string} "saved 81 kB (38 %)" */
export function saved(before, after) {
  return `saved ${bytes(before - after)} (${percentSaved(before, after)})`;
}

/** @param {number} seconds @returns {string} "about 3 minutes" */
export function duration(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} seconds`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `about ${counted(minutes, "minute")}`;
  return `about ${counted(Math.round(minutes / 60), "hour")}`;
}

/** @param {number} usd @returns {string} "$12.50" */
export function money(usd) {
  return usd < 0.01 ? "under $0.01" : `$${usd.toFixed(2)}`;
}

/** @param {string[]} words @returns {string} "one, two and three" */
export function listed(words) {
  return [words.slice(0, -1).join(", "), words.at(-1)].filter(Boolean).join(" and ");
}

/** @param {string} timestamp RFC 3339. @returns {HTMLTimeElement} In this browser's time zone. */
export function moment(timestamp) {
  const element = document.createElement("time");
  element.dateTime = timestamp;
  element.textContent = momentText(timestamp);
  return element;
}

/** @param {string} timestamp RFC 3339. @returns {string} */
export function momentText(timestamp) {
  return MOMENT.format(new Date(timestamp));
}

/** @param {string} url @returns {string} The last part of its path, as a person would call the file. */
export function fileName(url) {
  const path = URL.canParse(url) ? new URL(url).pathname : url;
  const name = path.split("/").filter(Boolean).pop() ?? url;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
