// The last hours: speed, waits, predictions and memory, as the daemon has kept them; and the tasks that have ended.
//
// Rules: ORCH-CON-12
import "./activity.css";
import { useState } from "preact/hooks";
import { bytes, percent, rate, span } from "../format";
import { Panel, Said } from "../parts";
import { usePolled } from "../polled";
import { useStore } from "../store";
import type { Figures } from "../wire";
import { Chart } from "./chart";
import { EndedTasks } from "./ended";
import { ofDevice, ofPools, sum } from "./history";

const AGAIN_MS = 15_000;
const HOUR_MS = 3_600_000;
const RANGES = [1, 3, 12] as const;

const read = (body: Omit<Figures, "read_at">): Figures => ({ ...body, read_at: Date.now() });

export function Activity() {
  const { health } = useStore();
  const { value: figures, problem } = usePolled("/v1/figures", AGAIN_MS, read);
  const [hours, setHours] = useState<number>(1);
  const [pool, setPool] = useState("");
  const pools = health?.pools ?? [];
  return (
    <div class="activity">
      <Panel
        title="The last hours"
        id="figures"
        actions={
          <div class="buttons">
            {pools.length > 1 && (
              <select aria-label="Pool" value={pool} onChange={(event) => setPool(event.currentTarget.value)}>
                <option value="">All pools</option>
                {pools.map(({ id }) => (
                  <option key={id} value={id}>
                    {id}
                  </option>
                ))}
              </select>
            )}
            <div class="ranges" role="group" aria-label="Range">
              {RANGES.map((range) => (
                <button key={range} type="button" class="quiet" aria-pressed={hours === range} onClick={() => setHours(range)}>
                  {range} h
                </button>
              ))}
            </div>
          </div>
        }
      >
        {problem && (
          <p class="problem padded" role="alert">
            <Said text={problem} />
          </p>
        )}
        {figures ? <Charts figures={figures} range={hours * HOUR_MS} pool={pool} /> : !problem && <div class="wait" role="status" aria-label="Loading" />}
        <p class="dim small padded">The daemon keeps twelve hours, a minute at a time, in its memory: a restart begins anew.</p>
      </Panel>
      <EndedTasks />
    </div>
  );
}

function Charts({ figures, range, pool }: { figures: Figures; range: number; pool: string }) {
  const seconds = figures.step_ms / 1000;
  const devices = new Map(figures.minutes.flatMap(({ devices }) => devices).map((device) => [device.device, device.memory_total_bytes]));
  const of = (value: Parameters<typeof ofPools>[3]) => ofPools(figures, range, pool, value);
  return (
    <div class="charts">
      <Chart
        title="Tokens a second"
        least={1}
        write={rate}
        empty="Nothing was written."
        lines={[
          { name: "written", kind: "area", series: of((pools) => sum(pools, (one) => one.tokens_out) / seconds) },
          { name: "prompts read", kind: "line", series: of((pools) => sum(pools, (one) => one.tokens_in) / seconds) },
        ]}
      />
      <Chart
        title="Wait before the start"
        least={100}
        write={span}
        empty="No task has started."
        lines={[
          { name: "mean", kind: "area", series: of((pools) => (sum(pools, (one) => one.started) ? sum(pools, (one) => one.waited_ms) / sum(pools, (one) => one.started) : null)) },
          { name: "longest", kind: "line", series: of((pools) => (sum(pools, (one) => one.started) ? Math.max(...pools.map((one) => one.longest_wait_ms)) : null)) },
        ]}
      />
      <Chart
        title="Start predictions off by"
        least={0.1}
        write={percent}
        empty="No task has waited."
        lines={[{ name: "median", kind: "line", series: of((pools) => pools.reduce<number | null>((worst, one) => (one.prediction_error === undefined ? worst : Math.max(worst ?? 0, one.prediction_error)), null)) }]}
      />
      {[...devices].map(([device, total]) => (
        <Chart key={device} title={`Memory of ${device}`} least={total} top={total} write={bytes} empty="Not read." lines={[{ name: "in use", kind: "area", series: ofDevice(figures, range, device) }]} />
      ))}
    </div>
  );
}
