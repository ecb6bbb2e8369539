// How answers of a conversation are made. What is left empty is for the daemon and the model to decide.
import { NUMBERS, wrongWith } from "./request";
import { Said } from "../parts";
import { DEFAULTS, type Settings } from "./types";

export function SettingsPanel({ settings, kind, onChange }: { settings: Settings; kind: "chat" | "raw"; onChange: (settings: Settings) => void }) {
  const set = (field: keyof Settings) => (event: { currentTarget: { value: string } }) => onChange({ ...settings, [field]: event.currentTarget.value });
  const wrong = wrongWith(settings);
  return (
    <section class="settings panel" id="settings" aria-label="Settings">
      <div class="fields">
        <fieldset class="segments">
          <legend>Lane</legend>
          {(["interactive", "batch"] as const).map((lane) => (
            <label key={lane}>
              <input type="radio" name="lane" value={lane} checked={settings.priority === lane} onChange={() => onChange({ ...settings, priority: lane })} />
              <span>{lane}</span>
            </label>
          ))}
        </fieldset>
        {kind === "chat" && (
          <>
            <label for="system">System prompt</label>
            <textarea id="system" rows={4} value={settings.system} onInput={set("system")} placeholder="None" />
          </>
        )}
        <div class="pairs">
          {NUMBERS.map(({ field, name, ...limits }) => (
            <div key={field}>
              <label for={field}>{name}</label>
              <input id={field} type="number" inputMode="decimal" value={settings[field]} onInput={set(field)} placeholder="default" {...limits} />
            </div>
          ))}
          <div>
            <label for="seed">Seed</label>
            <input id="seed" inputMode="numeric" value={settings.seed} onInput={set("seed")} placeholder="random" />
          </div>
        </div>
        <label for="stop-texts">Stop texts, one a line</label>
        <textarea id="stop-texts" rows={2} value={settings.stop} onInput={set("stop")} placeholder="None" spellcheck={false} />
        <label for="json-schema">JSON schema of the answer</label>
        <textarea id="json-schema" class="mono" rows={2} value={settings.json_schema} onInput={set("json_schema")} placeholder="None" spellcheck={false} />
        <p class="problem small" role="alert">
          {wrong && <Said text={wrong} />}
        </p>
        <button type="button" class="quiet" onClick={() => onChange({ ...DEFAULTS, pool: settings.pool })}>
          Back to the defaults
        </button>
      </div>
    </section>
  );
}
