#!/bin/bash

# kolla_start sources this as the user osnl: fluentd reads the log.
if [[ ! -d /var/log/kolla/osnl ]]; then
    mkdir -p /var/log/kolla/osnl
fi
if [[ $(stat -c %a /var/log/kolla/osnl) != "755" ]]; then
    chmod 755 /var/log/kolla/osnl
fi
