// Without this file each page works: it is loaded again for newer values, and a plot's values are in its table.
"use strict";

// Refresh in place: the new content replaces the old one, unless somebody works in it.
(() => {
  const IN_USE = "input:focus, select:focus, textarea:focus, input:checked, details[open]:not([data-key]), output:not(:empty)";
  const refresh = async () => {
    const main = document.getElementById("main");
    const seconds = Number(main?.dataset.refresh);
    if (!seconds) {
      return;
    }
    const isInUse = () => main.querySelector(IN_USE) || !document.getSelection().isCollapsed;
    if (!isInUse()) {
      try {
        const answer = await fetch(location.href, { redirect: "manual" });
        if (answer.type === "opaqueredirect") {
          // The session has ended: the address leads to the login.
          location.reload();
          return;
        }
        if (!answer.ok) {
          throw new Error(answer.statusText);
        }
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const next = page.getElementById("main");
        if (next && !isInUse()) {
          const focused = document.activeElement?.id || document.activeElement?.getAttribute("href");
          const focusedKey = document.activeElement?.closest("summary")?.parentElement.dataset.key;
          // An incident stays open, or closed, as somebody left it.
          const wereOpen = new Map([...main.querySelectorAll("details[data-key]")].map((one) => [one.dataset.key, one.open]));
          main.replaceChildren(...next.childNodes);
          for (const one of main.querySelectorAll("details[data-key]")) {
            one.open = wereOpen.get(one.dataset.key) ?? one.open;
            if (one.dataset.key === focusedKey) {
              one.querySelector("summary").focus({ preventScroll: true });
            }
          }
          // The counters of the menu, and the time of the footer.
          for (const part of ["nav.pages", "footer"]) {
            const [old, made] = [document.querySelector(part), page.querySelector(part)];
            if (old && made && !old.contains(document.activeElement)) {
              old.replaceChildren(...made.childNodes);
            }
          }
          document.title = page.title;
          document.querySelector("link[rel=icon]").href = page.querySelector("link[rel=icon]").href;
          if (focused) {
            const again = document.getElementById(focused) ?? main.querySelector(`[href="${CSS.escape(focused)}"]`);
            again?.focus({ preventScroll: true });
          }
        }
      } catch {
        document.title = "no answer | osnl";
        if (!document.getElementById("stale")) {
          const stale = document.createElement("p");
          stale.id = "stale";
          stale.className = "result bad";
          stale.setAttribute("role", "alert");
          stale.textContent = "osnl does not answer: this page is as of the last answer.";
          main.prepend(stale);
        }
      }
    }
    setTimeout(refresh, seconds * 1000);
  };
  const seconds = Number(document.getElementById("main")?.dataset.refresh);
  if (seconds) {
    setTimeout(refresh, seconds * 1000);
  }
})();

// Plots: the value under the pointer, or under the arrow keys while the plot has the focus.
(() => {
  const show = (plot, hit) => {
    plot.querySelectorAll(".chosen").forEach((other) => other.classList.remove("chosen"));
    const output = plot.querySelector("output");
    hit?.classList.add("chosen");
    if (output) {
      output.textContent = hit ? `${hit.dataset.at}  ${hit.dataset.value}` : "";
    }
  };
  const plotOf = (event) => event.target.closest?.(".plot");
  document.addEventListener("pointerover", (event) => {
    const hit = event.target.closest?.("rect.hit");
    if (hit) {
      show(plotOf(event), hit);
    }
  });
  for (const ended of ["pointerout", "focusout"]) {
    document.addEventListener(ended, (event) => plotOf(event) && show(plotOf(event), null));
  }
  const hits = (plot) => [...plot.querySelectorAll("rect.hit")];
  document.addEventListener("focusin", (event) => {
    if (event.target.matches?.(".plot svg[tabindex]")) {
      show(plotOf(event), hits(plotOf(event)).at(-1));
    }
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !event.target.matches?.(".plot svg[tabindex]")) {
      return;
    }
    const all = hits(plotOf(event));
    const now = all.findIndex((hit) => hit.classList.contains("chosen"));
    show(plotOf(event), all[Math.min(Math.max(now + step, 0), all.length - 1)]);
    event.preventDefault();
  });
})();

// The command of an incident: into the clipboard, which a page without TLS has on the local host alone; else selected.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button.copy");
  if (!button) {
    return;
  }
  const command = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(command.textContent);
    button.textContent = "Copied";
  } catch {
    document.getSelection().selectAllChildren(command);
  }
});

// A checkbox in the head of a table checks all others.
document.addEventListener("change", (event) => {
  if (event.target.matches("input.all")) {
    const boxes = event.target.closest("table").querySelectorAll("tbody input[type=checkbox]");
    boxes.forEach((box) => {
      box.checked = event.target.checked && box.checkVisibility();
    });
  }
});

// Live events: without this file the page shows the latest ones and a link that loads it again.
(() => {
  const live = document.getElementById("live");
  if (!live || !window.EventSource) {
    return;
  }
  const rows = document.getElementById("live-rows");
  const status = document.getElementById("live-status");
  const count = document.getElementById("live-count");
  const pause = document.getElementById("live-pause");
  const MOST = 500;
  let held = [];
  let isPaused = false;
  let missed = 0;

  const cell = (row, label, text, kind) => {
    const cell = document.createElement("td");
    cell.dataset.label = label;
    // A name breaks behind its dots and slashes.
    text.split(/(?<=[./])/).forEach((part, at) => {
      cell.append(...(at > 0 ? [document.createElement("wbr"), part] : [part]));
    });
    cell.className = kind;
    row.append(cell);
    return cell;
  };

  const show = (event) => {
    const row = document.createElement("tr");
    cell(row, "Time", event.time, "number");
    cell(row, "Event type", event.event_type, "long");
    cell(row, "Resource", event.resource, "long");
    cell(row, "Rule → actions", event.outcome, event.is_matched ? "" : "muted");
    cell(row, "Publisher", event.publisher, "");
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "Show";
    const about = document.createElement("p");
    about.textContent = event.about;
    const payload = document.createElement("pre");
    payload.textContent = event.payload;
    payload.tabIndex = 0;
    payload.setAttribute("aria-label", "Payload");
    details.append(summary, about, payload);
    cell(row, "Payload", "", "").append(details);
    rows.prepend(row);
    while (rows.rows.length > MOST) {
      rows.lastElementChild.remove();
    }
  };

  // Not a live region: it changes with each event. The status changes with the connection only.
  const tell = () => {
    const parts = [`${rows.rows.length} shown`];
    if (held.length > 0) {
      parts.push(`${held.length} held back`);
    }
    if (missed > 0) {
      parts.push(`${missed} more were not shown`);
    }
    count.textContent = parts.join(", ");
  };

  const PAUSED = `Paused: the latest ${MOST} new events appear when you resume, older ones are missed.`;
  const say = (text) => {
    if (status.textContent !== text) {
      status.textContent = text;
    }
  };

  const join = live.dataset.stream.endsWith("?") ? "" : "&";
  const events = new EventSource(`${live.dataset.stream}${join}after=${live.dataset.after}`);
  events.onopen = () => say(isPaused ? PAUSED : "Connected: events appear as they come, the newest first.");
  events.onerror = () => {
    const isOver = events.readyState === EventSource.CLOSED;
    say(isOver ? "The stream was refused: load the page again." : "Disconnected, connecting again.");
  };
  events.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (!isPaused) {
      show(event);
    } else {
      held.push(event);
      if (held.length > MOST) {
        held.shift();
        missed += 1;
      }
    }
    tell();
  };
  events.addEventListener("missed", (message) => {
    missed += Number(message.data);
    tell();
  });
  events.addEventListener("ended", (message) => {
    events.close();
    say(
      message.data === "readers"
        ? "Another reader has taken the place of this one: load the page again."
        : "The session has ended: load the page again and log in.",
    );
  });

  pause.hidden = false;
  document.getElementById("live-refresh").hidden = true;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Resume" : "Pause";
    say(isPaused ? PAUSED : "Resumed.");
    held.forEach(show);
    held = [];
    tell();
  });
})();
