// Live events: without this file the page shows the latest ones and a link that loads it again.
"use strict";
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
  let shown = 0;
  let missed = 0;

  const cell = (row, text, kind) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    cell.className = kind;
    row.append(cell);
    return cell;
  };

  const show = (event) => {
    const row = document.createElement("tr");
    cell(row, event.time, "number");
    cell(row, event.event_type, "");
    cell(row, event.publisher, "");
    cell(row, event.resource, "long");
    cell(row, event.listener, "");
    cell(row, event.outcome, "");
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = event.about;
    const payload = document.createElement("pre");
    payload.textContent = event.payload;
    payload.tabIndex = 0;
    payload.setAttribute("aria-label", "Payload");
    details.append(summary, payload);
    cell(row, "", "long").append(details);
    rows.prepend(row);
    while (rows.rows.length > MOST) {
      rows.lastElementChild.remove();
    }
    shown += 1;
  };

  // Not a live region: it changes with each event. The status changes with the connection only.
  const tell = () => {
    const parts = [`${shown} shown`];
    if (held.length > 0) {
      parts.push(`${held.length} held back`);
    }
    if (missed > 0) {
      parts.push(`${missed} more were not shown`);
    }
    count.textContent = parts.join(", ");
  };

  const say = (text) => {
    if (status.textContent !== text) {
      status.textContent = text;
    }
  };

  const join = live.dataset.stream.endsWith("?") ? "" : "&";
  const events = new EventSource(`${live.dataset.stream}${join}after=${live.dataset.after}`);
  events.onopen = () => say(isPaused ? "Paused." : "Connected: events appear as they come, the newest first.");
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
    say(isPaused ? "Paused." : "Resumed.");
    held.forEach(show);
    held = [];
    tell();
  });
})();
