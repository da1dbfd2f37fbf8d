// A plug-in for `driver = exec` in Go: handles several events at once and answers each when it is done.
//
//	go build -o /usr/local/bin/osnl-notify notify.go
//
//	[action:notify]
//	driver = exec
//	command = /usr/local/bin/osnl-notify
//	concurrency = 8
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// Event is the part of an event that this plug-in looks at.
type Event struct {
	ID             uint64 `json:"id"`
	IdempotencyKey string `json:"idempotency_key"`
	EventType      string `json:"event_type"`
	Resource       *struct {
		Kind string `json:"kind"`
		ID   string `json:"id"`
	} `json:"resource"`
}

// Verdict is what is said about an event.
type Verdict struct {
	ID         uint64  `json:"id"`
	Verdict    string  `json:"verdict"`
	Reason     string  `json:"reason,omitempty"`
	RetryAfter float64 `json:"retry_after,omitempty"`
}

func handle(event Event) Verdict {
	if event.Resource == nil || event.Resource.ID == "" {
		return Verdict{Verdict: "nothing_to_do", Reason: "it is about nothing that has an id"}
	}
	// Standard error goes into osnl's log; <6> is its priority, as under systemd.
	fmt.Fprintf(os.Stderr, "<6>%s of %s %s\n", event.EventType, event.Resource.Kind, event.Resource.ID)
	return Verdict{Verdict: "done", Reason: event.Resource.ID}
}

func main() {
	var lock sync.Mutex
	var running sync.WaitGroup
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break // osnl ends: so do we, when everything is answered.
		}
		var event Event
		if err := json.Unmarshal(line, &event); err != nil {
			fmt.Fprintln(os.Stderr, "<3>an event that cannot be read:", err)
			os.Exit(1)
		}
		running.Add(1)
		go func() {
			defer running.Done()
			verdict := handle(event)
			verdict.ID = event.ID
			lock.Lock()
			defer lock.Unlock()
			if err := out.Encode(verdict); err != nil {
				os.Exit(1)
			}
		}()
	}
	running.Wait()
}
