// What a model thinks before it answers, told from the answer: it stands at the beginning, between marks.
const BEGIN = "<think>";
const END = "</think>";

export function apart(said: string): { thought: string; text: string } {
  const begins = said.trimStart();
  if (!begins.startsWith(BEGIN)) return { thought: "", text: BEGIN.startsWith(begins) ? "" : said };
  const end = begins.indexOf(END);
  if (end < 0) return { thought: begins.slice(BEGIN.length).trim(), text: "" };
  return { thought: begins.slice(BEGIN.length, end).trim(), text: begins.slice(end + END.length).trimStart() };
}
