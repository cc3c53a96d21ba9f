/**
 * Shows each <time> in the time zone and style of the reader: times of the last week as how long ago,
 * others as a date. The exact moment, local and in UTC, is the title.
 *
 * Without this module the page shows times in UTC. Other modules dispatch `datasette-files-shown`
 * after they have added content.
 */

const DAY = 24 * 60 * 60;
/** Seconds of each unit, the largest first. */
const UNITS = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([
  ["day", DAY],
  ["hour", 60 * 60],
  ["minute", 60],
]);

const language = document.documentElement.lang || undefined;
// Always in numbers: "yesterday" would be wrong for some times 47 hours ago.
const ago = new Intl.RelativeTimeFormat(language);
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/**
 * @param {Date} moment @param {Date} now
 * @returns {string} For the last week how long ago, else the day.
 */
function described(moment, now) {
  const seconds = (now.getTime() - moment.getTime()) / 1000;
  // A clock up to a minute behind the server's still says "just now".
  if (seconds < -60 || seconds >= 7 * DAY) return date.format(moment);
  for (const [unit, length] of UNITS) {
    if (seconds >= length) return ago.format(-Math.floor(seconds / length), unit);
  }
  return "just now";
}

/** @param {ParentNode} root */
function localise(root) {
  const now = new Date();
  for (const time of root.querySelectorAll("main time[datetime]")) {
    const moment = new Date(time.dateTime);
    // Other tools may have written something else into the catalog: it stays as it is.
    if (Number.isNaN(moment.getTime())) continue;
    const utc = `${time.dateTime.replace("T", " ").replace("Z", "")} UTC`;
    time.title = `${exact.format(moment)} (${utc})`;
    time.textContent = described(moment, now);
  }
}

localise(document);
for (const event of ["datasette-files-shown", "datasette-files-grown"]) {
  document.addEventListener(event, () => localise(document));
}
