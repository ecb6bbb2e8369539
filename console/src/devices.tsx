// The devices: memory and load, now and over the last two minutes, and who holds how much.
import { bytes, percent } from "./format";
import { Empty, Meter, Panel, Spark } from "./parts";
import { HISTORY, useStore } from "./store";
import type { Device, Holding } from "./wire";

export function Devices({ devices, ledger }: { devices: Device[]; ledger: Holding[] }) {
  return (
    <Panel title="Devices" id="devices">
      {devices.length === 0 ? (
        <Empty title="No device’s memory can be read.">`llama-orch doctor` says why.</Empty>
      ) : (
        devices.map((device) => <One key={device.id} device={device} holders={ledger.filter((holding) => holding.device === device.id)} />)
      )}
    </Panel>
  );
}

function One({ device, holders }: { device: Device; holders: Holding[] }) {
  const { history } = useStore();
  const samples = history.get(device.id) ?? [];
  const share = device.memory_used_bytes / Math.max(1, device.memory_total_bytes);
  const loads = samples.map((sample) => sample.load);
  return (
    <article class="device">
      <h3>
        <span class="mono">{device.id}</span>
        <span class="dim ellipsis" title={device.name}>
          {device.name}
        </span>
      </h3>
      <div class="row">
        <span>Memory</span>
        <span class="num">
          {bytes(device.memory_used_bytes)} <span class="dim">of {bytes(device.memory_total_bytes)}</span>
        </span>
      </div>
      <Meter share={share} label={`Memory of ${device.id}`} {...(share > 0.95 ? { tone: "bad" as const } : share > 0.85 ? { tone: "warn" as const } : {})} />
      <div class="graphs">
        <figure>
          <figcaption>
            Load <b class="num">{device.utilization === undefined ? "–" : percent(device.utilization)}</b>
          </figcaption>
          <Spark samples={loads} room={HISTORY} top={1} label={`Load of ${device.id} over the last two minutes`} />
        </figure>
        <figure>
          <figcaption>
            Memory <b class="num">{percent(share)}</b>
          </figcaption>
          <Spark samples={samples.map((sample) => sample.memory)} room={HISTORY} top={1} kind="memory" label={`Memory of ${device.id} over the last two minutes`} />
        </figure>
      </div>
      {holders.map((holding) => (
        <div class="row small" key={holding.replica}>
          <span class="mono dim">{holding.replica}</span>
          <span class="num">
            {bytes(holding.measured_bytes ?? holding.expected_bytes ?? 0)}
            {holding.measured_bytes !== undefined && holding.expected_bytes !== undefined && <span class="dim"> expected {bytes(holding.expected_bytes)}</span>}
          </span>
        </div>
      ))}
    </article>
  );
}
