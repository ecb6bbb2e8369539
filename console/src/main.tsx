// The console of llama-orch: starts, logs in, and leads to the views.
import { render } from "preact";
import { useEffect } from "preact/hooks";
import "./console.css";
import { Activity } from "./activity/page";
import { ChatPage } from "./chat/page";
import { Connect } from "./connect";
import { Live } from "./live";
import { LogIn } from "./login";
import { Models } from "./models/page";
import { useRoute } from "./router";
import { Shell } from "./shell";
import { look, useStore } from "./store";
import { TaskPage } from "./task";
import { applyTheme } from "./theme";

function App() {
  const { session } = useStore();
  const route = useRoute();
  useEffect(() => void look(), []);
  if (session === "unknown") return <div class="wait" role="status" aria-label="Loading" />;
  if (session === "out") return <LogIn />;
  return (
    <Shell route={route}>
      {route.view === "live" && <Live />}
      {route.view === "chat" && <ChatPage {...(route.id ? { id: route.id } : {})} />}
      {route.view === "models" && <Models />}
      {route.view === "activity" && <Activity />}
      {route.view === "connect" && <Connect />}
      {route.view === "task" && <TaskPage key={route.id} id={route.id} />}
    </Shell>
  );
}

applyTheme();
render(<App />, document.getElementById("app")!);
