// The log-in. The token goes to the daemon once and is not kept in the page.
import { useEffect, useRef, useState } from "preact/hooks";
import { Refused, logIn } from "./api";
import { Copy } from "./parts";
import { look, set } from "./store";

const WHERE = "cat ~/.config/llama-orch/token";

export function LogIn() {
  const field = useRef<HTMLInputElement>(null);
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  useEffect(() => {
    document.title = "Log in · llama-orch";
    field.current?.focus();
  }, []);

  const submit = async (event: Event) => {
    event.preventDefault();
    const token = field.current?.value.trim() ?? "";
    if (token === "") {
      setWrong("Paste the token first.");
      field.current?.focus();
      return;
    }
    setBusy(true);
    try {
      await logIn(token);
      set({ session: "in", trouble: null });
      look();
    } catch (error) {
      setWrong(error instanceof Refused && error.status === 401 ? "That is not the token of this daemon. Look again at where it is kept, below." : error instanceof Error ? error.message : String(error));
      field.current?.select();
      setBusy(false);
    }
  };

  return (
    <main class="login">
      <form onSubmit={submit} noValidate>
        <img src="/console/icon.svg" alt="" width="44" height="44" />
        <h1>llama-orch</h1>
        <p class="lead">One token opens this daemon.</p>
        <label for="token">API token</label>
        <div class="with-button">
          <input ref={field} id="token" name="token" type={shown ? "text" : "password"} autocomplete="current-password" spellcheck={false} aria-invalid={wrong !== null} aria-describedby="token-error token-help" />
          <button type="button" class="quiet" aria-pressed={shown} onClick={() => setShown(!shown)}>
            {shown ? "Hide" : "Show"}
          </button>
        </div>
        <p id="token-error" class="problem" role="alert">
          {wrong}
        </p>
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Logging in…" : "Log in"}
        </button>
        <div id="token-help" class="help">
          <p>It was made at the daemon’s first start, unless <code>LLAMA_ORCH_TOKEN</code> or the configuration names one:</p>
          <div class="snippet">
            <pre>{WHERE}</pre>
            <Copy text={WHERE} />
          </div>
        </div>
      </form>
    </main>
  );
}
