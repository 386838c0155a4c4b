// Numbers and answers as people read them; the same wording as the command line's where it has one.

/** Return seconds as m:ss, from an hour on as h:mm:ss. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** Return seconds with their tenths, such as 1:04.5. */
export function preciseClock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${clock(Math.floor(tenths / 10))}.${tenths % 10}`;
}

/** Return a share in percent. */
export const percent = (share) => `${Math.round(share * 100)} %`;

/** Return a probability in percent; nothing that is heard is certain. */
export function chance(probability) {
  if (probability >= 0.995) return ">99 %";
  return probability < 0.005 ? "<1 %" : percent(probability);
}

/** Return a size in bytes as people say it. */
export function bytes(size) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  let number = size;
  while (number >= 999.5 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${number >= 10 || unit === 0 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
}

const PEOPLE = { female: "woman", male: "man", unsure: "unsure" };
/** The class of an answer in the style sheets, and its noun. */
export const kindOf = (gender) => PEOPLE[gender.label];

const ofChild = (age) => Boolean(age?.groups) && age.group !== "unsure" && age.groups.child >= 0.5;

/** Return a gender answer as a sentence's start: "Sounds like a woman", "Unsure". */
export function soundsLike(gender, age) {
  if (gender.label !== "unsure") return `Sounds like a ${kindOf(gender)}`;
  return ofChild(age) ? "Unsure: perhaps a child" : "Unsure";
}

/** Return what stands behind the start: the probability, or which way an unsure one leans. */
export function howSure(gender) {
  const surest = chance(Math.max(gender.female, gender.male));
  if (gender.label !== "unsure") return surest;
  if (gender.female === gender.male) return "neither is likelier";
  return `${surest} ${gender.female > gender.male ? "woman" : "man"}`;
}

export const hasAge = (age) => Boolean(age) && age.group !== "unsure";

/** Return an age as "about 34 (26 to 45)". */
export function aboutAge(age) {
  return `about ${Math.round(age.years)} (${Math.round(age.low)} to ${Math.round(age.high)})`;
}

const COUNTS = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"];
export const voices = (count) => `${COUNTS[count] ?? count} ${count === 1 ? "voice" : "voices"}`;

/** Return the headline of a result: what a person would say of it in one line. */
export function headline(result) {
  if (result.status === "no_speech") return "No speech found";
  const speakers = result.speakers ?? [];
  if (speakers.length < 2) return `${soundsLike(result.gender, result.age)}, ${howSure(result.gender)}`;
  const count = (label) => speakers.filter((speaker) => speaker.gender.label === label).length;
  const parts = [
    [count("female"), "woman", "women"],
    [count("male"), "man", "men"],
  ].filter(([number]) => number).map(([number, one, many]) => (number === 1 ? `a ${one}` : `${number} ${many}`));
  const unsure = count("unsure");
  if (unsure && parts.length) parts.push(`${unsure} unsure`);
  const who = parts.length ? parts.join(", ").replace(/, (?=[^,]*$)/, " and ") : "all unsure";
  return `${voices(speakers.length)}: ${who}`;
}

const FORMATS = {
  table: "Text table", json: "JSON", jsonl: "JSON Lines", csv: "CSV", rttm: "RTTM", textgrid: "Praat TextGrid",
  elan: "ELAN", audacity: "Audacity labels", webvtt: "WebVTT", srt: "SRT",
};
export const formatTitle = (name) => FORMATS[name] ?? name;

/** Return a file's name without its extension. */
export const stem = (name) => name.replace(/(.)\.[^./]{1,8}$/, "$1");
