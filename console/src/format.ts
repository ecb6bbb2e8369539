// Numbers as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value: number): string {
  let unit = 0;
  let rest = value;
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${rest >= 100 || unit === 0 ? rest.toFixed(0) : rest.toFixed(1)} ${UNITS[unit]}`;
}

export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
}

export const rate = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
export const percent = (share: number): string => `${Math.round(share * 100)} %`;
export const count = (value: number): string => value.toLocaleString("en-US").replace(/,/g, "\u202f");
export const short = (id: string): string => id.slice(0, 8);

export function parameters(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} B`;
  return `${Math.round(value / 1e6)} M`;
}

/** The last part of a model reference, which is what tells models apart. */
export function modelName(ref: string): string {
  const plain = ref.replace(/^(file|hf):/, "");
  return plain.slice(plain.lastIndexOf("/") + 1) || ref;
}

export const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? 0 : sorted[Math.floor(sorted.length / 2)]!;
};
