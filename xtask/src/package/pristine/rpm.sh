# osnl as rpm has put it there, among Debian's tools: an event delivered.
installed
step "installed by rpm, with Debian's programs around it"
configure
start
publish compute.instance.create.end
soon has_lines /var/log/osnl/events.jsonl 1
step "the first event is delivered"
stop
