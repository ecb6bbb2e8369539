// The daemon's figures of the last hours as series with one value a minute.
import type { Figures, FiguresMinute } from "../wire";

export interface Series {
  /** Milliseconds since 1970 at which the first value's minute begins. */
  from: number;
  step_ms: number;
  values: (number | null)[];
}

/** The minutes of the last `range_ms`, one entry each; null where the daemon has nothing of it. */
function minutesOf(figures: Figures, range_ms: number): { from: number; minutes: (FiguresMinute | null)[] } {
  const { step_ms } = figures;
  const length = Math.max(2, Math.round(range_ms / step_ms));
  const minutes: (FiguresMinute | null)[] = Array.from({ length }, () => null);
  const last = figures.minutes[figures.minutes.length - 1];
  // The last entry is at the right edge: the others stand whole steps before it.
  const edge = last?.age_ms ?? 0;
  for (const minute of figures.minutes) {
    const place = length - 1 - Math.round((minute.age_ms - edge) / step_ms);
    if (place >= 0) minutes[place] = minute;
  }
  return { from: figures.read_at - edge - (length - 1) * step_ms, minutes };
}

/** One value a minute of the pools that are wanted, or of all. */
export function ofPools(figures: Figures, range_ms: number, pool: string, value: (pools: FiguresMinute["pools"]) => number | null): Series {
  const { from, minutes } = minutesOf(figures, range_ms);
  const values = minutes.map((minute) => minute && value(minute.pools.filter((one) => pool === "" || one.pool === pool)));
  return { from, step_ms: figures.step_ms, values };
}

export function ofDevice(figures: Figures, range_ms: number, device: string): Series {
  const { from, minutes } = minutesOf(figures, range_ms);
  const values = minutes.map((minute) => minute?.devices.find((one) => one.device === device)?.memory_used_bytes ?? null);
  return { from, step_ms: figures.step_ms, values };
}

export const sum = <T>(all: T[], of: (one: T) => number): number => all.reduce((total, one) => total + of(one), 0);

export const known = (values: (number | null)[]): number[] => values.filter((value) => value !== null);
