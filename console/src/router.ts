// The view is in the address, behind `#`, so that a page can be kept and sent.
import { useEffect, useState } from "preact/hooks";

export type Route = { view: "live" } | { view: "chat"; id?: string } | { view: "models" } | { view: "activity" } | { view: "connect" } | { view: "task"; id: string };

function read(): Route {
  const [view, id] = location.hash.replace(/^#\/?/, "").split("/");
  if (view === "task" && id) return { view, id };
  if (view === "chat") return id ? { view, id } : { view };
  if (view === "models" || view === "activity" || view === "connect") return { view };
  return { view: "live" };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const changed = () => setRoute(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
