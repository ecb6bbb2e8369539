// A series over time. The value under the pointer, or at the place chosen with the arrow keys, is written beside the title.
import { useState } from "preact/hooks";
import { type Series, known } from "./history";

export interface Line {
  name: string;
  series: Series;
  kind: "area" | "line";
}

interface Props {
  title: string;
  lines: Line[];
  /** The least that the top of the chart stands for. */
  least: number;
  top?: number;
  write: (value: number) => string;
  empty: string;
}

const clock = (at: number) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

export function Chart({ title, lines, least, top: fixed, write, empty }: Props) {
  const [at, setAt] = useState<number | null>(null);
  const { from, step_ms, values } = lines[0]!.series;
  const count = values.length;
  const all = lines.flatMap(({ series }) => known(series.values));
  const top = fixed ?? Math.max(least, ...all);
  const x = (i: number) => (i / (count - 1)) * 100;
  const y = (value: number) => 40 - (Math.min(value, top) / top) * 38;
  const shown = at === null ? null : Math.max(0, Math.min(count - 1, at));
  const move = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -count, End: count }[event.key];
    if (event.key === "Escape") setAt(null);
    if (!step) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(count - 1, (shown ?? count - 1) + step)));
  };
  const point = (event: PointerEvent & { currentTarget: Element }) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    setAt(Math.round(((event.clientX - left) / Math.max(1, width)) * (count - 1)));
  };
  const said = lines.map(({ name, series }) => {
    const value = shown === null ? null : series.values[shown];
    const most = known(series.values);
    return { name, text: shown === null ? (most.length ? `up to ${write(Math.max(...most))}` : "–") : value === null || value === undefined ? "–" : write(value) };
  });
  const label = `${title}, ${clock(from)} to ${clock(from + (count - 1) * step_ms)}: ${all.length === 0 ? empty : said.map(({ name, text }) => `${name} ${text}`).join(", ")}`;
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong>
        <span class="readout" aria-live={shown === null ? "off" : "polite"}>
          {shown !== null && <span class="num dim">{clock(from + shown * step_ms)}</span>}
          {said.map(({ name, text }, i) => (
            <span key={name} class={`key ${lines[i]!.kind} n${i}`}>
              {name} <b class="num">{text}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <div class="plot">
        <span class="most num">{all.length > 0 && write(top)}</span>
        {all.length === 0 && <p class="dim">{empty}</p>}
        <svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label={label} tabIndex={0} onKeyDown={move} onBlur={() => setAt(null)} onPointerMove={point} onPointerLeave={() => setAt(null)}>
          <path class="grid" d="M0 2H100M0 21H100M0 40H100" />
          {lines.map(({ name, series, kind }, i) => (
            <path key={name} class={`${kind} n${i}`} d={kind === "area" ? areaOf(series.values, x, y) : lineOf(series.values, x, y)} />
          ))}
          {shown !== null && <path class="cursor" d={`M${x(shown)} 0V40`} />}
        </svg>
      </div>
      <div class="times num">
        <span>{clock(from)}</span>
        <span>{clock(from + Math.round((count - 1) / 2) * step_ms)}</span>
        <span>{clock(from + (count - 1) * step_ms)}</span>
      </div>
    </figure>
  );
}

type Place = (value: number) => number;

/** The stretches of a series without a gap. */
function stretches(values: (number | null)[]): { from: number; values: number[] }[] {
  const found: { from: number; values: number[] }[] = [];
  values.forEach((value, i) => {
    if (value === null) return;
    const last = found[found.length - 1];
    if (last && last.from + last.values.length === i) last.values.push(value);
    else found.push({ from: i, values: [value] });
  });
  return found;
}

function lineOf(values: (number | null)[], x: Place, y: Place): string {
  // A single value is a short stroke, so that it is seen.
  return stretches(values)
    .map(({ from, values }) => values.map((value, i) => `${i ? "L" : "M"}${x(from + i).toFixed(2)} ${y(value).toFixed(2)}`).join("") + (values.length === 1 ? "h0.3" : ""))
    .join("");
}

function areaOf(values: (number | null)[], x: Place, y: Place): string {
  return stretches(values)
    .map(({ from, values }) => `M${x(from).toFixed(2)} 40${values.map((value, i) => `L${x(from + i).toFixed(2)} ${y(value).toFixed(2)}`).join("")}L${(x(from + values.length - 1) + (values.length === 1 ? 0.3 : 0)).toFixed(2)} 40Z`)
    .join("");
}
