// The times of one answer: how long until the first token, and from each token to the next.
import { median, rate, span } from "./format";

const BARS = 160;

export interface Timings {
  /** When it was asked. */
  asked: number;
  /** When each token came. */
  tokens: number[];
}

export function figures(timings: Timings): { ttft: number; gaps: number[]; rate: number } | null {
  const { asked, tokens } = timings;
  const first = tokens[0];
  if (first === undefined) return null;
  const gaps = tokens.slice(1).map((at, i) => at - tokens[i]!);
  const spent = tokens[tokens.length - 1]! - first;
  return { ttft: first - asked, gaps, rate: spent > 0 ? (gaps.length * 1000) / spent : 0 };
}

export function Timing({ timings }: { timings: Timings }) {
  const found = figures(timings);
  if (!found) return null;
  const { ttft, gaps } = found;
  const shown = gaps.slice(-BARS);
  const middle = median(gaps);
  const sorted = [...gaps].sort((a, b) => a - b);
  const late = sorted[Math.floor(sorted.length * 0.95)] ?? 0;
  const top = Math.max(1, Math.min(Math.max(...shown, 1), Math.max(late * 1.6, middle * 3)));
  const width = 100 / Math.max(shown.length, 24);
  const label = `First token after ${span(ttft)}; ${gaps.length + 1} tokens, half of them within ${span(middle)} of the one before, 19 in 20 within ${span(late)}`;
  return (
    <figure class="timing">
      <figcaption>
        <span>
          First token <b class="num">{span(ttft)}</b>
        </span>
        {gaps.length > 0 && (
          <>
            <span>
              Tokens/s <b class="num">{rate(found.rate)}</b>
            </span>
            <span>
              Between tokens <b class="num">{span(middle)}</b>
            </span>
            <span>
              95 % within <b class="num">{span(late)}</b>
            </span>
          </>
        )}
      </figcaption>
      {gaps.length > 0 && (
        <svg viewBox="0 0 100 22" preserveAspectRatio="none" role="img" aria-label={label}>
          {shown.map((gap, i) => {
            const height = Math.max(0.8, (Math.min(gap, top) / top) * 21);
            return <rect key={i} x={i * width} y={22 - height} width={width * 0.72} height={height} class={gap > middle * 2.5 ? "slow" : ""} />;
          })}
          <line x1="0" x2="100" y1={22 - (middle / top) * 21} y2={22 - (middle / top) * 21} />
        </svg>
      )}
    </figure>
  );
}
