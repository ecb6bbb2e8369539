// What a page reads off the daemon again and again while it is open.
import { useEffect, useState } from "preact/hooks";
import { Refused, ask } from "./api";
import { signedOut } from "./store";

/** What was read last, and why the last reading failed. */
export interface Polled<T> {
  value: T | null;
  problem: string | null;
}

/** Reads `path` at once, when `asked` changes, and so many milliseconds after each answer. */
export function usePolled<T, R extends object = object>(path: string, everyMs: number, made: (body: R) => T, asked = 0): Polled<T> {
  const [value, setValue] = useState<T | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let left = false;
    const read = async () => {
      try {
        const { body } = await ask<R>("GET", path);
        if (!left) setValue(made(body));
        setProblem(null);
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return signedOut();
        setProblem(error instanceof Error ? error.message : String(error));
      }
      if (!left) timer = setTimeout(read, everyMs);
    };
    void read();
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [asked]);
  return { value, problem };
}
